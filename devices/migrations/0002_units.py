"""Keys with a rotation, warranty, MAC address, and why a claim was refused."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("devices", "0001_initial"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="device",
            options={
                "ordering": ["serial_number"],
                "permissions": [
                    ("rotate_key_device", "Can give a device a new key"),
                    ("release_device", "Can release a device from its owner"),
                    ("revoke_key_device", "Can revoke all keys of a device at once"),
                    ("import_device", "Can import a factory's list of devices"),
                ],
            },
        ),
        migrations.AddField(
            model_name="device",
            name="warranty_until",
            field=models.DateField(blank=True, editable=False, help_text="Counted from the first claim; a later owner has what is left.", null=True),
        ),
        migrations.AddField(
            model_name="device",
            name="key_seen_at",
            field=models.DateTimeField(blank=True, editable=False, help_text="Empty: the unit may not have it yet.", null=True, verbose_name="present key first used"),
        ),
        migrations.AddField(
            model_name="device",
            name="key_changed_at",
            field=models.DateTimeField(blank=True, editable=False, help_text="Empty: the key is the factory's.", null=True),
        ),
        migrations.AddField(
            model_name="device",
            name="previous_key_hash",
            field=models.CharField(blank=True, default="", editable=False, max_length=64),
        ),
        migrations.AddField(
            model_name="device",
            name="previous_key_until",
            field=models.DateTimeField(blank=True, editable=False, help_text="Empty: until the present key is used.", null=True),
        ),
        migrations.AddField(
            model_name="device",
            name="reset_epoch",
            field=models.IntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="device",
            name="mac_address",
            field=models.CharField(blank=True, default="", editable=False, max_length=17, verbose_name="MAC address"),
        ),
        migrations.CreateModel(
            name="ClaimAttempt",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reference", models.CharField(max_length=16, unique=True)),
                ("serial_number", models.CharField(blank=True, help_text="As it was typed.", max_length=64)),
                ("address", models.GenericIPAddressField(blank=True, null=True)),
                ("cause", models.CharField(choices=[("unknown", "No such serial number"), ("wrong_code", "The claim code is wrong"), ("taken", "The code is right, but the device has another owner"), ("throttled", "Too many attempts, so it was not looked at")], max_length=16)),
                ("created_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("customer", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={"ordering": ["-created_at"]},
        ),
    ]
