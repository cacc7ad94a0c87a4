"""Notifications that nothing used until now, and Smart Properties' events among them, are processed once more."""

from django.db import migrations
from django.db.models.functions import Now


def process_again(apps, schema_editor):
    apps.get_model("notifications", "Message").objects.filter(state="unused").update(state="waiting", due_at=Now())


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_registrations")]
    operations = [migrations.RunPython(process_again, migrations.RunPython.noop, elidable=True)]
