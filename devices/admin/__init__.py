"""The registry for staff, one file for each matter. What changes a row calls the verbs that the flows call.

Keys and claim codes are never shown, except once in the message that answers their making.
"""

from devices.admin import products, readings, shadow, units

__all__ = ["products", "readings", "shadow", "units"]
