import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0003_products'),
    ]

    operations = [
        migrations.CreateModel(
            name='Shadow',
            fields=[
                ('device', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='shadow', serialize=False, to='devices.device')),
                ('ownership', models.UUIDField(editable=False, null=True)),
                ('desired', models.JSONField(blank=True, default=dict)),
                ('reported', models.JSONField(blank=True, default=dict)),
                ('marks', models.JSONField(blank=True, default=dict)),
                ('version', models.BigIntegerField(default=0)),
                ('changed_at', models.DateTimeField()),
                ('door', models.CharField(blank=True, choices=[('', 'never heard'), ('https', 'HTTPS: it asks'), ('mqtt', 'MQTT broker'), ('aws', 'AWS IoT Core')], default='', max_length=8)),
                ('told', models.JSONField(blank=True, default=dict)),
                ('due_at', models.DateTimeField(blank=True, null=True)),
                ('lease', models.UUIDField(blank=True, null=True)),
                ('leased_until', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('error', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['door', 'due_at'], name='shadow_due')],
            },
        ),
        migrations.CreateModel(
            name='DeviceEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.CharField(max_length=64)),
                ('type', models.CharField(choices=[('doorbell_press', 'Doorbell pressed'), ('consumable_replaced', 'Consumable replaced'), ('factory_reset', 'Reset to factory settings')], max_length=24)),
                ('slot_id', models.CharField(blank=True, max_length=64, verbose_name='slot')),
                ('happened_at', models.DateTimeField(help_text="The device's clock; ours where it has none.")),
                ('heard_at', models.DateTimeField()),
                ('device', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='devices.device')),
            ],
            options={
                'ordering': ['-heard_at', '-pk'],
                'constraints': [models.UniqueConstraint(fields=('device', 'event_id'), name='event_told_once')],
            },
        ),
    ]
