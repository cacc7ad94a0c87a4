from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0005_history'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='deviceevent',
            index=models.Index(fields=['heard_at'], name='event_heard'),
        ),
    ]
