from django.db import migrations, models


class Migration(migrations.Migration):
    """Only the limit changes: PostgreSQL neither rewrites nor scans the table for it."""

    dependencies = [
        ('devices', '0010_attempt_counts'),
    ]

    operations = [
        migrations.AlterField(
            model_name='dailyuse',
            name='consumed',
            field=models.DecimalField(decimal_places=3, max_digits=24),
        ),
    ]
