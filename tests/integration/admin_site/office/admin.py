"""The admin's page of documents."""

from django.contrib import admin

from .models import Document


@admin.register(Document)
class DocumentAdmin(admin.ModelAdmin):  # type: ignore[misc]  # Django has no types
    list_display = ("title", "pages")
    search_fields = ("title",)
