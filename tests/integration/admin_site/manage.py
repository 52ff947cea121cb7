"""Django's manage.py, of a project with its admin, whose data is in the folder ``OFFICE``."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "office.settings")
    execute_from_command_line(sys.argv)
