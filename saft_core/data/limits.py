"""The limits that this package keeps. The numbers come from the settings; nothing here has a default of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class DataLimits:
    """What one image, archive or dataset may cost; field names are those of the settings."""

    max_archive_expanded_bytes: int
    max_archive_ratio: int
    max_dataset_images: int
    max_dataset_classes: int
    min_class_images: int
    max_label_characters: int
    max_image_bytes: int
    max_image_pixels: int
    max_labels_bytes: int

    @classmethod
    def from_attributes(cls, source: object) -> DataLimits:
        """Read each limit off the attribute of the same name, so that callers can pass `settings.limits`."""
        return cls(**{field.name: getattr(source, field.name) for field in fields(cls)})
