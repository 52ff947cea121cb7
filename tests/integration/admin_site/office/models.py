"""What the admin edits."""

from django.db import models


class Document(models.Model):  # type: ignore[misc]  # Django has no types
    title = models.CharField(max_length=50, unique=True)
    file = models.FileField(upload_to="documents")
    pages = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return str(self.title)
