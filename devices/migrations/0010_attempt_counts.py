from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0009_ownership_is_no_key'),
    ]

    operations = [
        migrations.CreateModel(
            name='AttemptCount',
            fields=[
                ('door', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('tried', models.PositiveSmallIntegerField()),
                ('until', models.DateTimeField()),
            ],
        ),
    ]
