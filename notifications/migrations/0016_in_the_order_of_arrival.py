"""Two indexes less are written for each message. Nobody at the door waits for it: a deployment migrates while the old web runs."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('notifications', '0001_squashed_0015_signing_certificate'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='message',
            index=models.Index(fields=['topic', 'received_at'], name='message_of_topic'),
        ),
        RemoveIndexConcurrently(
            model_name='message',
            name='message_newest',
        ),
        RemoveIndexConcurrently(
            model_name='message',
            name='message_newest_of_topic',
        ),
    ]
