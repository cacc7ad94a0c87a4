"""Bodies move to a table of their own, partitioned by day: PostgreSQL makes it, Django only knows it."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

MAKE = """
CREATE TABLE notifications_messagebody (
  message_id bigint NOT NULL, received_at timestamptz NOT NULL DEFAULT now(), body text NOT NULL,
  PRIMARY KEY (message_id, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE notifications_messagebody_default PARTITION OF notifications_messagebody DEFAULT;
"""
MOVE = """
INSERT INTO notifications_messagebody (message_id, received_at, body) SELECT id, received_at, body FROM notifications_message;
"""


class Migration(migrations.Migration):
    dependencies = [("notifications", "0009_properties")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(MAKE, "DROP TABLE notifications_messagebody")],
            state_operations=[
                migrations.CreateModel(
                    name="MessageBody",
                    fields=[
                        (
                            "message",
                            models.OneToOneField(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                primary_key=True,
                                related_name="+",
                                serialize=False,
                                to="notifications.message",
                            ),
                        ),
                        ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                        ("body", models.TextField()),
                    ],
                )
            ],
        ),
        migrations.RunSQL(MOVE, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="message", name="body"),
    ]
