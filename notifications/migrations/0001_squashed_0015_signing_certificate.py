import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from devices.migrations._at_once import AtOnce

# Bodies have a table of their own, partitioned by day: PostgreSQL makes it, Django only knows it.
BODIES = """
CREATE TABLE notifications_messagebody (
  message_id bigint NOT NULL, received_at timestamptz NOT NULL DEFAULT now(), body text NOT NULL,
  PRIMARY KEY (message_id, received_at)
) PARTITION BY RANGE (received_at);
CREATE TABLE notifications_messagebody_default PARTITION OF notifications_messagebody DEFAULT;
"""

# A message and its body are kept by a function of the database: SNS posts one message at a time, and what a statement as long as
# this costs to be understood and planned, each time anew, is more than what it costs to do.
KEEP_MESSAGE = """
CREATE FUNCTION notifications_keep_message(
    the_topic bigint, the_message_id text, the_kind text, the_subject text, sent timestamptz, way text, the_sealed bytea,
    the_verdicts jsonb, the_state text, the_reason text, waits boolean, the_body text
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    kept bigint;
BEGIN
    INSERT INTO notifications_message (topic_id, message_id, kind, subject, sent_at, came_by, sealed, verdicts, state, reason,
        received_at, due_at, attempts, error)
    VALUES (the_topic, the_message_id, the_kind, the_subject, sent, way, the_sealed, the_verdicts, the_state, the_reason,
        now(), CASE WHEN waits THEN now() END, 0, '')
    ON CONFLICT (topic_id, message_id) DO NOTHING RETURNING id INTO kept;
    IF kept IS NOT NULL THEN
        INSERT INTO notifications_messagebody (message_id, received_at, body) VALUES (kept, now(), the_body);
    END IF;
    RETURN kept;
END
$$;
"""


class Migration(migrations.Migration):

    replaces = [
        ('notifications', '0001_initial'),
        ('notifications', '0002_registrations'),
        ('notifications', '0003_process_what_was_kept'),
        ('notifications', '0004_rebuild'),
        ('notifications', '0005_came_by'),
        ('notifications', '0006_drift'),
        ('notifications', '0007_alarms'),
        ('notifications', '0008_aside'),
        ('notifications', '0009_properties'),
        ('notifications', '0010_bodies'),
        ('notifications', '0011_operations'),
        ('notifications', '0012_found_at'),
        ('notifications', '0013_keep_message'),
        ('notifications', '0014_told_and_aside'),
        ('notifications', '0015_signing_certificate'),
    ]

    initial = True

    dependencies = [
        ('devices', '0001_squashed_0012_slots_can_go_and_names_follow'),
    ]

    operations = [
        AtOnce(
            migrations.CreateModel(
                name='Topic',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('arn', models.CharField(max_length=512, unique=True, verbose_name='ARN')),
                    ('kind', models.CharField(choices=[('drs', 'Dash Replenishment'), ('asp', 'Smart Properties')], default='drs', max_length=8)),
                    ('signature_version', models.CharField(choices=[('1', '1 (SHA-1) or 2'), ('2', '2 (SHA-256) only')], default='1', help_text='Set to 2 as soon as the topic signs with version 2.', max_length=1, verbose_name='lowest signature version')),
                    ('subscription', models.CharField(choices=[('none', 'not asked for'), ('pending', 'asked for, confirmation expected'), ('confirmed', 'confirmed'), ('unsubscribed', 'unsubscribed')], default='none', help_text="Set to “asked for” just before you subscribe this portal's address.", max_length=16)),
                    ('subscription_arn', models.CharField(blank=True, editable=False, max_length=512, verbose_name='subscription ARN')),
                    ('subscription_at', models.DateTimeField(editable=False, null=True, verbose_name='subscription changed')),
                    ('told', models.CharField(blank=True, editable=False, help_text='A hash of the user and password that SNS was told.', max_length=128)),
                    ('drift', models.JSONField(default=list, editable=False, help_text='In what AWS differs from what should be there.')),
                    ('drift_checked_at', models.DateTimeField(editable=False, null=True)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                ],
                options={
                    'ordering': ['arn'],
                },
            ),
            migrations.CreateModel(
                name='Message',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('topic', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='messages', to='notifications.topic')),
                    ('message_id', models.CharField(max_length=36, verbose_name='message ID')),
                    ('kind', models.CharField(choices=[('Notification', 'Notification'), ('SubscriptionConfirmation', 'Subscription confirmation'), ('UnsubscribeConfirmation', 'Unsubscribe confirmation')], max_length=24)),
                    ('subject', models.TextField(blank=True)),
                    ('sent_at', models.DateTimeField(help_text='The Timestamp that Amazon signed.')),
                    ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='Our clock.')),
                    ('came_by', models.CharField(choices=[('https', 'the HTTPS door'), ('sqs', 'a queue'), ('redrive', 'the dead-letter queue')], default='https', max_length=8, verbose_name='came first by')),
                    ('sealed', models.BinaryField(help_text='Token and SubscribeURL, encrypted, until they are of no more use.', null=True)),
                    ('verdicts', models.JSONField(default=dict, help_text='What the checks found, since a masked body cannot be verified again.')),
                    ('state', models.CharField(choices=[('waiting', 'waiting'), ('done', 'done'), ('unused', 'not yet used'), ('held', 'held for a person'), ('quarantined', 'not understood'), ('aside', 'set aside by a person')], default='waiting', max_length=16)),
                    ('reason', models.TextField(blank=True, help_text='Why it is where it is.')),
                    ('due_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), null=True)),
                    ('attempts', models.PositiveIntegerField(default=0)),
                    ('error', models.TextField(blank=True, help_text='What went wrong the last time.')),
                ],
                options={
                    'permissions': [('replay_message', 'Can have a message processed again')],
                    'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at', 'id'], name='message_due'), models.Index(fields=['-received_at'], name='message_newest'), models.Index(fields=['topic', '-received_at'], name='message_newest_of_topic'), models.Index(condition=models.Q(('state__in', ['held', 'quarantined'])), fields=['state'], name='message_for_a_person')],
                    'constraints': [models.UniqueConstraint(fields=('message_id', 'topic'), name='message_stored_once')],
                },
            ),
            migrations.CreateModel(
                name='SigningCertificate',
                fields=[
                    ('sha256', models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name='SHA-256')),
                    ('pem', models.TextField(verbose_name='PEM')),
                ],
            ),
            migrations.CreateModel(
                name='Order',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('instance_id', models.CharField(max_length=255, unique=True, verbose_name='instance ID')),
                    ('state', models.CharField(choices=[('UNCLEAR', 'unclear'), ('PLACED', 'placed'), ('CANCELLED', 'cancelled'), ('SHIPPED', 'shipped')], default='UNCLEAR', max_length=16)),
                    ('conflict', models.BooleanField(default=False, help_text='Amazon said both shipped and cancelled.')),
                    ('device', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='orders', to='devices.device')),
                    ('slot', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='orders', to='devices.slot')),
                    ('serial_number', models.CharField(blank=True, max_length=255)),
                    ('model_id', models.CharField(blank=True, max_length=255, verbose_name='model ID')),
                    ('slot_name', models.CharField(blank=True, max_length=255, verbose_name='slot ID')),
                    ('first_at', models.DateTimeField(help_text="Amazon's clock.", null=True, verbose_name='first heard of')),
                    ('placed_at', models.DateTimeField(help_text='Empty when Amazon never said that it was placed.', null=True)),
                    ('last_at', models.DateTimeField(null=True, verbose_name='last heard of')),
                    ('estimated_delivery', models.DateTimeField(null=True)),
                ],
                options={
                    'ordering': [models.OrderBy(models.F('last_at'), descending=True, nulls_last=True), '-id'],
                    'indexes': [models.Index(fields=['device', '-last_at'], name='order_of_device'), models.Index(condition=models.Q(('device__isnull', True)), fields=['serial_number'], name='order_without_device')],
                },
            ),
            migrations.CreateModel(
                name='OrderItem',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='items', to='notifications.order')),
                    ('place', models.PositiveSmallIntegerField(help_text='Where Amazon lists it, from 0.')),
                    ('asin', models.CharField(blank=True, max_length=64, verbose_name='ASIN')),
                    ('quantity', models.DecimalField(decimal_places=6, max_digits=18)),
                    ('unit', models.CharField(max_length=64)),
                    ('estimated_delivery', models.DateTimeField(null=True)),
                ],
                options={
                    'ordering': ['order_id', 'place'],
                    'constraints': [models.UniqueConstraint(fields=('order', 'place'), name='order_item_once')],
                },
            ),
            migrations.CreateModel(
                name='DrsRegistration',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('model_id', models.CharField(max_length=255, verbose_name='model ID')),
                    ('serial_number', models.CharField(max_length=255)),
                    ('state', models.CharField(choices=[('UNCLEAR', 'unclear'), ('PROVISIONAL', 'subscription heard of, registration not yet'), ('REGISTERED', 'registered'), ('DEREGISTERED', 'deregistered')], default='UNCLEAR', max_length=16)),
                    ('customer_id', models.CharField(blank=True, editable=False, max_length=255, verbose_name="customer's pseudonym")),
                    ('epoch', models.PositiveIntegerField(default=0, help_text='How many times it was registered anew.')),
                    ('since', models.DateTimeField(help_text="Amazon's clock.", null=True)),
                    ('last_at', models.DateTimeField(null=True, verbose_name='last heard of')),
                    ('device', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='drs_registrations', to='devices.device')),
                ],
                options={
                    'verbose_name': 'Dash registration',
                    'ordering': [models.OrderBy(models.F('last_at'), descending=True, nulls_last=True), '-id'],
                    'indexes': [models.Index(condition=models.Q(('device__isnull', True)), fields=['serial_number'], name='registration_without_device')],
                    'constraints': [models.UniqueConstraint(fields=('serial_number', 'model_id'), name='drs_registration_once')],
                },
            ),
            migrations.CreateModel(
                name='SlotSubscription',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('registration', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='subscriptions', to='notifications.drsregistration')),
                    ('slot', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='subscriptions', to='devices.slot')),
                    ('slot_name', models.CharField(max_length=255, verbose_name='slot ID')),
                    ('subscribed', models.BooleanField()),
                    ('products', models.JSONField(default=list, help_text='What is chosen: asin, quantity, unit.')),
                    ('stale', models.BooleanField(default=False, help_text='The newest notification (version 1) named no products.')),
                    ('gone', models.JSONField(default=list, help_text='ASINs that the newest change took away.', verbose_name='no longer chosen')),
                    ('last_at', models.DateTimeField(verbose_name='last heard of')),
                ],
                options={
                    'ordering': ['registration_id', 'slot_name'],
                    'constraints': [models.UniqueConstraint(fields=('registration', 'slot_name'), name='slot_subscription_once')],
                },
            ),
            migrations.CreateModel(
                name='Notification',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('message', models.OneToOneField(help_text='Empty once the message is pruned: what was said lives as long as its order.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='notification', to='notifications.message')),
                    ('order', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='notifications', to='notifications.order')),
                    ('registration', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='notifications', to='notifications.drsregistration')),
                    ('kind', models.CharField(max_length=128)),
                    ('notification_id', models.CharField(db_index=True, max_length=255, verbose_name='notification ID')),
                    ('notified_at', models.DateTimeField(help_text="notificationTime: Amazon's clock, and the order of things.")),
                    ('serial_number', models.CharField(blank=True, db_index=True, max_length=255)),
                    ('version', models.CharField(blank=True, help_text='By its structure; empty where there is only one.', max_length=1)),
                    ('digest', models.CharField(editable=False, max_length=64)),
                    ('contradicted', models.BooleanField(default=False, help_text='Another notification has this ID and says otherwise.')),
                    ('parsed', models.JSONField()),
                ],
                options={
                    'ordering': ['notified_at', 'notification_id'],
                    'permissions': [('rebuild_notification', 'Can have orders and registrations derived again')],
                },
            ),
            migrations.CreateModel(
                name='PropertyEvent',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('event_id', models.CharField(max_length=255, verbose_name='event ID')),
                    ('digest', models.CharField(editable=False, max_length=64)),
                    ('contradicted', models.BooleanField(default=False, help_text='Another event has this ID and says otherwise.')),
                    ('message', models.ForeignKey(help_text='The first that brought it.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='property_events', to='notifications.message')),
                    ('kind', models.CharField(max_length=520)),
                    ('happened_at', models.DateTimeField(help_text="eventTime: Amazon's clock, and the order of things.")),
                    ('unit_id', models.CharField(blank=True, max_length=512, verbose_name='unit ID')),
                    ('skill_id', models.CharField(blank=True, max_length=512, verbose_name='skill ID')),
                    ('endpoint_id', models.CharField(blank=True, max_length=512, verbose_name='endpoint ID')),
                    ('automation_id', models.CharField(blank=True, max_length=512, verbose_name='automation ID')),
                    ('failed', models.BooleanField(default=False)),
                    ('aside', models.BooleanField(default=False, help_text='A person has seen that it failed.', verbose_name='set aside')),
                    ('parsed', models.JSONField()),
                ],
                options={
                    'ordering': ['happened_at', 'event_id'],
                    'indexes': [models.Index(fields=['kind', '-happened_at'], name='property_event_newest'), models.Index(condition=models.Q(('automation_id', ''), _negated=True), fields=['automation_id', 'happened_at'], name='property_event_runs'), models.Index(condition=models.Q(('aside', False), ('failed', True)), fields=['automation_id'], name='property_event_failed')],
                    'constraints': [models.UniqueConstraint(fields=('event_id', 'digest'), name='property_event_once')],
                },
            ),
            migrations.CreateModel(
                name='PropertyOperation',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('kind', models.CharField(choices=[('associate', 'device into its unit'), ('assign', 'give a role'), ('revoke', 'take a role away')], max_length=12)),
                    ('state', models.CharField(choices=[('waiting', 'waiting'), ('queued', 'its turn comes'), ('asked', "asked, Amazon's event expected"), ('done', 'done'), ('failed', 'refused by Amazon'), ('withdrawn', 'withdrawn')], default='waiting', max_length=12)),
                    ('unit_id', models.CharField(blank=True, max_length=512, verbose_name='unit ID')),
                    ('endpoint_id', models.CharField(blank=True, max_length=512, verbose_name='endpoint ID')),
                    ('serial_number', models.CharField(blank=True, max_length=255)),
                    ('principal_id', models.CharField(blank=True, help_text='amzn1.account.…', max_length=512, verbose_name='principal ID')),
                    ('role_id', models.CharField(blank=True, max_length=512, verbose_name='role ID')),
                    ('propagate', models.BooleanField(default=False, help_text="In the unit's sub-units, too; then an event says when.")),
                    ('set_up_at', models.DateTimeField(editable=False, help_text="The newest set-up, by Amazon's time.", null=True, verbose_name='set up')),
                    ('found_at', models.DateTimeField(editable=False, help_text='Amazon knew the device though no set-up was told: as good as one.', null=True, verbose_name='found')),
                    ('served_at', models.DateTimeField(editable=False, help_text='The set-up after which it was put into its unit.', null=True)),
                    ('identified', models.BooleanField(default=False, editable=False, help_text='Amazon was asked for its serial number.')),
                    ('asked_at', models.DateTimeField(editable=False, null=True, verbose_name='asked')),
                    ('reason', models.TextField(blank=True, help_text='Why it is where it is.')),
                    ('version', models.PositiveIntegerField(default=0, editable=False)),
                    ('due_at', models.DateTimeField(editable=False, null=True)),
                    ('leased_until', models.DateTimeField(editable=False, null=True)),
                    ('attempts', models.PositiveIntegerField(default=0, editable=False)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                ],
                options={
                    'verbose_name': 'unit or role',
                    'verbose_name_plural': 'units and roles',
                    'ordering': ['-id'],
                    'permissions': [('manage_subscriptions', "Can subscribe to Smart Properties' events")],
                    'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='property_operation_due')],
                    'constraints': [models.UniqueConstraint(condition=models.Q(('kind', 'associate'), models.Q(('endpoint_id', ''), _negated=True)), fields=('endpoint_id',), name='one_unit_of_an_endpoint'), models.UniqueConstraint(condition=models.Q(('kind', 'associate'), models.Q(('serial_number', ''), _negated=True)), fields=('serial_number',), name='one_unit_of_a_serial')],
                },
            ),
            migrations.CreateModel(
                name='EndpointAlias',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('alias', models.CharField(max_length=512, unique=True)),
                    ('endpoint_id', models.CharField(db_index=True, max_length=512, verbose_name='endpoint ID')),
                ],
            ),
            migrations.SeparateDatabaseAndState(
                [migrations.RunSQL(BODIES)],
                [
                    migrations.CreateModel(
                        name='MessageBody',
                        fields=[
                            ('message', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='notifications.message')),
                            ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                            ('body', models.TextField()),
                        ],
                    ),
                ],
            ),
            migrations.RunSQL(KEEP_MESSAGE),
        ),
    ]
