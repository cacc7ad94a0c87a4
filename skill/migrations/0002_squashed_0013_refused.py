import django.db.models.deletion
import django.db.models.functions.datetime
import skill.fields
import uuid
from django.conf import settings
from django.db import migrations, models

from devices.migrations._at_once import AtOnce


class Migration(migrations.Migration):

    replaces = [
        ('skill', '0002_tokens'),
        ('skill', '0003_duty'),
        ('skill', '0004_linking'),
        ('skill', '0005_pages'),
        ('skill', '0006_power_and_regions'),
        ('skill', '0007_discovery'),
        ('skill', '0008_long_requests'),
        ('skill', '0009_closing_ends'),
        ('skill', '0010_owed_since'),
        ('skill', '0011_silent_missed_at'),
        ('skill', '0012_first_tried_at'),
        ('skill', '0013_refused'),
    ]

    dependencies = [
        ('devices', '0001_squashed_0012_slots_can_go_and_names_follow'),
        ('oauth2_provider', '0022_refreshtoken_token_family_index'),
        ('skill', '0001_application'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        migrations.swappable_dependency(settings.OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL),
    ]

    operations = [
        AtOnce(
            migrations.CreateModel(
                name='AlexaGrant',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='alexa_grants', to=settings.AUTH_USER_MODEL)),
                    ('region', models.CharField(choices=[('NA', 'North America'), ('EU', 'Europe, India'), ('FE', 'Far East, Australia')], max_length=2)),
                    ('state', models.CharField(choices=[('active', 'Active'), ('dormant', 'Dormant: another region was linked later'), ('closing', 'Closing: announcing the deletions'), ('closed', 'Closed')], default='active', max_length=8)),
                    ('generation', models.PositiveIntegerField(default=1, help_text='Rises with every AcceptGrant and every stored refresh.')),
                    ('access_token', skill.fields.EncryptedTextField(blank=True)),
                    ('refresh_token', skill.fields.EncryptedTextField(blank=True)),
                    ('expires_at', models.DateTimeField(help_text='When the access token ends.')),
                    ('code_hash', models.CharField(blank=True, max_length=64)),
                    ('refresh_leased_until', models.DateTimeField(blank=True, null=True)),
                    ('accepted_at', models.DateTimeField()),
                    ('discovered_at', models.DateTimeField(blank=True, null=True)),
                    ('discovered_bytes', models.PositiveIntegerField(blank=True, help_text='How large the last answer to Discover was.', null=True)),
                    ('closing_until', models.DateTimeField(blank=True, null=True)),
                    ('closed_at', models.DateTimeField(blank=True, null=True)),
                    ('reason', models.CharField(blank=True, help_text='Why it is not active, in words.', max_length=200)),
                    ('trouble', models.CharField(blank=True, help_text='What Login with Amazon said last, if it refused.', max_length=300)),
                    ('other_regions', models.CharField(blank=True, help_text='What they said when this region did not know the customer. Asked once a link.', max_length=300)),
                ],
                options={
                    'verbose_name': 'Alexa link',
                    'indexes': [models.Index(models.F('closing_until'), condition=models.Q(('state', 'closing')), name='grant_closing'), models.Index(models.F('discovered_bytes'), condition=models.Q(('discovered_bytes__gte', 100000)), name='grant_large')],
                    'constraints': [models.UniqueConstraint(models.F('user'), models.F('region'), name='one_grant_per_region'), models.UniqueConstraint(models.F('user'), condition=models.Q(('state', 'active')), name='one_active_grant'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'closing'), _negated=True), ('closing_until__isnull', False), _connector='OR'), name='closing_ends')],
                },
            ),
            migrations.CreateModel(
                name='Endpoint',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('grant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='endpoints', to='skill.alexagrant')),
                    ('device', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='endpoints', to='devices.device')),
                    ('endpoint_id', models.CharField(help_text='Belongs to the ownership: device and claim.', max_length=64, verbose_name='endpointId')),
                    ('region', models.CharField(choices=[('NA', 'North America'), ('EU', 'Europe, India'), ('FE', 'Far East, Australia')], max_length=2)),
                    ('wanted', models.BooleanField(default=True, help_text='Should Alexa know it? If not, a DeleteReport goes out.')),
                    ('due_at', models.DateTimeField(blank=True, help_text='When to look at it next; empty: nothing to say.', null=True)),
                    ('daily_at', models.DateTimeField(blank=True, help_text='When the daily report comes due.', null=True)),
                    ('not_before', models.DateTimeField(blank=True, help_text='Back-off: no reading bypasses it.', null=True)),
                    ('version', models.BigIntegerField(default=1, help_text='Rises with every change of what Alexa should know.')),
                    ('changed', models.JSONField(blank=True, default=dict, help_text='Property key → [version, cause] of what changed since the last report.')),
                    ('lease', models.UUIDField(blank=True, null=True)),
                    ('leased_until', models.DateTimeField(blank=True, null=True)),
                    ('attempts', models.PositiveSmallIntegerField(default=0)),
                    ('announced_digest', models.CharField(blank=True, help_text='Of the description that Alexa accepted last.', max_length=64)),
                    ('left_out', models.CharField(blank=True, db_default='', help_text='Why Alexa is not told of the device as it is now: she would refuse it.', max_length=300)),
                    ('sent_at', models.DateTimeField(blank=True, null=True, verbose_name='last state report')),
                    ('reported_at', models.DateTimeField(blank=True, null=True, verbose_name='last whole inventory report')),
                    ('duty', models.BigIntegerField(default=0, help_text='Two bits a day for 31 days (duty.py).')),
                    ('owed_since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='Since when Amazon is owed a report a day: the link, or the last look that found no level she knows.')),
                    ('silent_since', models.DateTimeField(blank=True, help_text='Since when a daily report had to leave out a sensor that has no reading.', null=True)),
                    ('missed_at', models.DateTimeField(blank=True, help_text='The last day that was noted as missed and is not made good yet.', null=True)),
                    ('silent_missed_at', models.DateTimeField(blank=True, help_text='The same of a sensor that has no reading; its days are its own.', null=True)),
                    ('last_code', models.CharField(blank=True, max_length=64, verbose_name="Amazon's answer")),
                    ('last_text', models.CharField(blank=True, max_length=300, verbose_name="Amazon's words")),
                    ('refused', models.BooleanField(db_default=False, help_text='Is that the answer to the last daily report? Then it stays until the next.')),
                ],
                options={
                    'permissions': [('resend_endpoint', 'Can report an endpoint to Alexa now')],
                    'indexes': [models.Index(models.F('region'), models.F('due_at'), condition=models.Q(('due_at__isnull', False)), name='endpoint_due'), models.Index(models.F('left_out'), condition=models.Q(('left_out', ''), _negated=True), name='endpoint_left_out'), models.Index(models.F('id'), condition=models.Q(('due_at__isnull', False), ('wanted', True), models.Q(models.Q(('last_code', ''), _negated=True), ('silent_since__isnull', False), _connector='OR')), name='endpoint_in_trouble')],
                    'constraints': [models.UniqueConstraint(models.F('grant'), models.F('endpoint_id'), name='endpoint_once_per_grant')],
                },
            ),
            migrations.CreateModel(
                name='Miss',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='misses', to='skill.endpoint')),
                    ('region', models.CharField(choices=[('NA', 'North America'), ('EU', 'Europe, India'), ('FE', 'Far East, Australia')], max_length=2)),
                    ('sensor', models.CharField(help_text='Instance of the level sensor that was not reported.', max_length=128)),
                    ('deadline_at', models.DateTimeField(help_text='24 hours after the report before, or after the link.', verbose_name='owed by')),
                    ('reason', models.CharField(choices=[('no_reading', 'No reading yet'), ('refused', 'Amazon refused or did not answer'), ('link', 'The link is broken'), ('late', 'We were late')], max_length=10)),
                    ('code', models.CharField(blank=True, max_length=64, verbose_name="Amazon's answer")),
                    ('text', models.CharField(blank=True, max_length=300, verbose_name="Amazon's words")),
                    ('noticed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                    ('reported_at', models.DateTimeField(blank=True, null=True, verbose_name='reported after all')),
                ],
                options={
                    'verbose_name': 'missed report',
                    'indexes': [models.Index(models.F('deadline_at'), models.F('id'), name='miss_deadline')],
                },
            ),
            migrations.CreateModel(
                name='Event',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='events', to='skill.endpoint')),
                    ('message_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name='messageId')),
                    ('namespace', models.CharField(max_length=64)),
                    ('name', models.CharField(max_length=64)),
                    ('instance', models.CharField(blank=True, max_length=64)),
                    ('correlation_token', models.TextField(blank=True, help_text='Of the directive that it answers.', verbose_name='correlationToken')),
                    ('payload', models.JSONField(help_text='While it waits: the state that answers the directive.')),
                    ('status', models.CharField(choices=[('waiting', 'Waiting: the device has not confirmed yet'), ('pending', 'Pending'), ('sent', 'Sent'), ('parked', 'Parked: Amazon refused it'), ('cancelled', 'Cancelled: the link was closed, or staff let it go'), ('expired', 'Expired: too late to be of use')], default='pending', max_length=9)),
                    ('attempts', models.PositiveSmallIntegerField(default=0)),
                    ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                    ('expires_at', models.DateTimeField(blank=True, null=True)),
                    ('settled_at', models.DateTimeField(blank=True, null=True)),
                    ('first_tried_at', models.DateTimeField(blank=True, help_text='Since when we try; anew when staff resend it.', null=True)),
                    ('resent_at', models.DateTimeField(blank=True, help_text='When staff last had it tried anew.', null=True)),
                    ('last_code', models.CharField(blank=True, max_length=64, verbose_name="Amazon's answer")),
                    ('last_text', models.CharField(blank=True, max_length=300, verbose_name="Amazon's words")),
                ],
                options={
                    'permissions': [('resend_event', 'Can have a parked event told again, or let it go')],
                    'indexes': [models.Index(models.F('endpoint'), models.F('id'), condition=models.Q(('status', 'pending')), name='event_pending'), models.Index(models.F('settled_at'), condition=models.Q(('status', 'parked')), name='event_parked'), models.Index(models.F('expires_at'), condition=models.Q(('status', 'waiting')), name='event_waiting')],
                },
            ),
            migrations.CreateModel(
                name='Gateway',
                fields=[
                    ('name', models.CharField(choices=[('NA', 'North America'), ('EU', 'Europe, India'), ('FE', 'Far East, Australia'), ('LWA', 'Login with Amazon')], max_length=3, primary_key=True, serialize=False)),
                    ('rate', models.FloatField(default=100, help_text='Requests per second that we allow ourselves; halved at 429, creeps up.')),
                    ('allowance', models.FloatField(default=0)),
                    ('refilled_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                    ('slowed_at', models.DateTimeField(blank=True, null=True)),
                    ('failures', models.PositiveIntegerField(default=0, help_text='In a row.')),
                    ('open_until', models.DateTimeField(blank=True, help_text='Breaker: nothing is sent before.', null=True)),
                    ('trouble', models.CharField(blank=True, max_length=300)),
                ],
            ),
            migrations.CreateModel(
                name='AnswerCount',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('hour', models.DateTimeField()),
                    ('door', models.CharField(max_length=3)),
                    ('kind', models.CharField(choices=[('answer', 'Answer'), ('seconds', 'Seconds on the wire')], max_length=7)),
                    ('label', models.CharField(max_length=64)),
                    ('count', models.BigIntegerField()),
                ],
                options={
                    'constraints': [models.UniqueConstraint(models.F('hour'), models.F('door'), models.F('kind'), models.F('label'), name='one_count')],
                },
            ),
            migrations.CreateModel(
                name='LinkingAttempt',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('reference', models.CharField(help_text='What the customer is shown where it fails.', max_length=12, unique=True)),
                    ('key', models.CharField(help_text='Hash of what makes it one attempt: client and state.', max_length=64, unique=True)),
                    ('way', models.CharField(choices=[('alexa', 'From the Alexa app'), ('ours', 'From our pages')], default='alexa', max_length=5)),
                    ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='linking_attempts', to=settings.AUTH_USER_MODEL)),
                    ('network', models.CharField(blank=True, help_text='Where it was opened from.', max_length=50)),
                    ('client_id', models.CharField(blank=True, max_length=100, verbose_name='client ID')),
                    ('redirect_uri', models.CharField(blank=True, max_length=300, verbose_name='redirect address')),
                    ('pkce', models.BooleanField(default=False, help_text='Was a code challenge sent?', verbose_name='PKCE')),
                    ('code_hash', models.CharField(blank=True, max_length=64)),
                    ('asked', models.TextField(blank=True, db_default='', help_text='The whole request, if it is too long to be handed from page to page; until it is allowed.')),
                    ('opened_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='opened')),
                    ('signed_in_at', models.DateTimeField(blank=True, null=True, verbose_name='signed in')),
                    ('consented_at', models.DateTimeField(blank=True, null=True, verbose_name='allowed')),
                    ('redeemed_at', models.DateTimeField(blank=True, null=True, verbose_name='code redeemed')),
                    ('redeem_ms', models.PositiveIntegerField(blank=True, null=True, verbose_name='our token endpoint took, ms')),
                    ('granted_at', models.DateTimeField(blank=True, null=True, verbose_name='AcceptGrant came')),
                    ('tokens_at', models.DateTimeField(blank=True, null=True, verbose_name="Amazon's tokens stored")),
                    ('discovered_at', models.DateTimeField(blank=True, null=True, verbose_name='first Discover')),
                    ('reported_at', models.DateTimeField(blank=True, null=True, verbose_name='first report accepted')),
                    ('region', models.CharField(blank=True, choices=[('NA', 'North America'), ('EU', 'Europe, India'), ('FE', 'Far East, Australia')], max_length=2)),
                    ('devices_found', models.PositiveIntegerField(blank=True, null=True)),
                    ('failure', models.CharField(blank=True, help_text='The first cause of failure (diagnosis.py).', max_length=32)),
                    ('failed_at', models.DateTimeField(blank=True, null=True, verbose_name='failed')),
                    ('said', models.CharField(blank=True, max_length=300, verbose_name='words of the other side')),
                ],
                options={
                    'indexes': [models.Index(models.F('opened_at'), name='attempt_opened'), models.Index(models.F('user'), models.F('opened_at'), name='attempt_of_user'), models.Index(models.F('network'), models.F('opened_at'), condition=models.Q(('user', None)), name='attempt_of_network'), models.Index(models.F('code_hash'), condition=models.Q(('code_hash', ''), _negated=True), name='attempt_of_code'), models.Index(models.F('tokens_at'), condition=models.Q(('reported_at', None)), name='attempt_unreported')],
                },
            ),
            migrations.CreateModel(
                name='Enablement',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='enablement', to=settings.AUTH_USER_MODEL)),
                    ('access_token', skill.fields.EncryptedTextField()),
                    ('refresh_token', skill.fields.EncryptedTextField(blank=True)),
                    ('expires_at', models.DateTimeField()),
                    ('host', models.CharField(help_text='Where Amazon told us to ask.', max_length=200)),
                    ('enabled_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                    ('disable_at', models.DateTimeField(blank=True, help_text='When to disable the skill; empty: it shall stay enabled.', null=True)),
                    ('attempts', models.PositiveSmallIntegerField(default=0)),
                    ('trouble', models.CharField(blank=True, max_length=300)),
                ],
                options={
                    'indexes': [models.Index(models.F('disable_at'), condition=models.Q(('disable_at__isnull', False)), name='enablement_leaving')],
                },
            ),
            migrations.CreateModel(
                name='SkillUser',
                fields=[
                    ('user_hash', models.CharField(help_text="Of Alexa's userId, which is long.", max_length=64, primary_key=True, serialize=False)),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='skill_users', to=settings.AUTH_USER_MODEL)),
                    ('linked_at', models.DateTimeField(help_text="Alexa's time of the event that told us.")),
                    ('hint', models.CharField(blank=True, help_text='The newest event.', max_length=40)),
                    ('hinted_at', models.DateTimeField(blank=True, null=True)),
                ],
            ),
            migrations.CreateModel(
                name='RedeemedCode',
                fields=[
                    ('code_hash', models.CharField(max_length=64, primary_key=True, serialize=False)),
                    ('refresh_token', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL)),
                    ('redeemed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ],
            ),
            migrations.CreateModel(
                name='Renewal',
                fields=[
                    ('access_token', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='renewal', serialize=False, to=settings.OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL)),
                    ('refresh_token', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='renewals', to=settings.OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL)),
                ],
            ),
            # A report writes its endpoint twice: the lease, then what came of it. Half of each page is left free, so that the new
            # versions of all its rows fit beside the old ones: the lease then hardly ever touches an index.
            migrations.RunSQL("ALTER TABLE skill_endpoint SET (fillfactor = 50)"),
        ),
    ]
