"""Staff describe a product once: draft, lint, difference, publish. What is live stays in models/products.py.

description.py is the value, difference.py and lint.py and fixed.py judge it (pure), drafts.py and publishing.py are the verbs. No
wire: the rooms above hear endpoint_changed(description) and know what to tell whom.
"""

from devices.catalogue.description import Description, DescriptionRefused, Product, Sale, SlotDescription
from devices.catalogue.difference import Change, difference
from devices.catalogue.drafts import (
    LARGEST_PICTURE,
    DraftChanged,
    PictureRefused,
    discard,
    keep_picture,
    live,
    open_draft,
    review,
    save_draft,
)
from devices.catalogue.fixed import lint_changes
from devices.catalogue.lint import Facts, Finding, lint
from devices.catalogue.publishing import Published, PublishRefused, Reach, fingerprint, publish, tell_waiting, touched

__all__ = [
    "LARGEST_PICTURE",
    "Change",
    "Description",
    "DescriptionRefused",
    "DraftChanged",
    "Facts",
    "Finding",
    "PictureRefused",
    "Product",
    "PublishRefused",
    "Published",
    "Reach",
    "Sale",
    "SlotDescription",
    "difference",
    "discard",
    "fingerprint",
    "keep_picture",
    "lint",
    "lint_changes",
    "live",
    "open_draft",
    "publish",
    "review",
    "save_draft",
    "tell_waiting",
    "touched",
]
