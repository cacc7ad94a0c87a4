"""Alarms; and the order of all migrations: the rooms' tables come last. As long as they are not there, Django has few models to
render anew at each step of django-oauth-toolkit's migrations."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('portal', '0001_squashed_0003_leaving'),
        ('oauth2_provider', '0022_refreshtoken_token_family_index'),
    ]
    run_before = [('devices', '0001_squashed_0012_slots_can_go_and_names_follow')]

    operations = [
        migrations.CreateModel(
            name='Alarm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('condition', models.CharField(max_length=64)),
                ('title', models.CharField(max_length=128)),
                ('opened_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='since')),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='last seen')),
                ('closed_at', models.DateTimeField(editable=False, null=True, verbose_name='until')),
                ('count', models.PositiveIntegerField(default=1, verbose_name='seen so often')),
                ('evidence', models.JSONField(default=list)),
                ('acknowledged_by', models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='taken by')),
                ('acknowledged_at', models.DateTimeField(editable=False, null=True, verbose_name='taken')),
                ('note', models.TextField(blank=True, help_text='Saving it takes the alarm: no more reminders.')),
            ],
            options={
                'ordering': ['-opened_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('closed_at', None)), fields=('condition',), name='one_open_alarm')],
            },
        ),
        migrations.CreateModel(
            name='AlarmNotice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('alarm', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='portal.alarm')),
                ('channel', models.CharField(choices=[('email', 'e-mail'), ('webhook', 'webhook')], max_length=8)),
                ('event', models.CharField(choices=[('opened', 'opened'), ('reminded', 'still open'), ('closed', 'closed')], max_length=8)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('sent_at', models.DateTimeField(null=True)),
                ('error', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at', 'id'], name='notice_due')],
            },
        ),
    ]
