"""The registry's tables. Those of the history of readings, and the functions that fill them, are in history.sql."""

import datetime
from pathlib import Path

import devices.models.products
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from devices.migrations._at_once import AtOnce

# The shops that Amazon's pages name (Alexa reference 9.2); staff add others as rows.
SHOPS = """
INSERT INTO devices_marketplace (code, name, locale) VALUES
    ('US', 'United States', 'en-US'),
    ('UK', 'United Kingdom', 'en-GB'),
    ('DE', 'Germany', 'de-DE'),
    ('FR', 'France', 'fr-FR'),
    ('IT', 'Italy', 'it-IT'),
    ('ES', 'Spain', 'es-ES'),
    ('JP', 'Japan', 'ja-JP')
"""
HISTORY = Path(__file__).with_name("history.sql").read_text(encoding="utf-8")


class Migration(migrations.Migration):

    replaces = [
        ('devices', '0001_initial'),
        ('devices', '0002_units'),
        ('devices', '0003_products'),
        ('devices', '0004_shadow'),
        ('devices', '0005_history'),
        ('devices', '0006_event_heard'),
        ('devices', '0007_reported_at'),
        ('devices', '0008_clock_doubted'),
        ('devices', '0009_ownership_is_no_key'),
        ('devices', '0010_attempt_counts'),
        ('devices', '0011_a_day_of_the_largest_uses'),
        ('devices', '0012_slots_can_go_and_names_follow'),
    ]

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        AtOnce(
            migrations.CreateModel(
                name='Marketplace',
                fields=[
                    ('code', models.CharField(max_length=2, primary_key=True, serialize=False, validators=[django.core.validators.RegexValidator('\\A[A-Z]{2}\\Z', 'Two capital letters, e.g. US.')])),
                    ('name', models.CharField(max_length=60)),
                    ('locale', models.CharField(help_text='The language in which names are shown there, e.g. de-DE.', max_length=5, validators=[django.core.validators.RegexValidator('\\A[a-z]{2}-[A-Z]{2}\\Z', 'A language and a country, e.g. de-DE.')])),
                ],
                options={
                    'ordering': ['code'],
                },
            ),
            migrations.CreateModel(
                name='AttemptCount',
                fields=[
                    ('door', models.CharField(max_length=64, primary_key=True, serialize=False)),
                    ('tried', models.PositiveSmallIntegerField()),
                    ('until', models.DateTimeField()),
                ],
            ),
            migrations.CreateModel(
                name='ClaimAttempt',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('reference', models.CharField(max_length=16, unique=True)),
                    ('customer', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('serial_number', models.CharField(blank=True, help_text='As it was typed.', max_length=64)),
                    ('address', models.GenericIPAddressField(blank=True, null=True)),
                    ('cause', models.CharField(choices=[('unknown', 'No such serial number'), ('wrong_code', 'The claim code is wrong'), ('taken', 'The code is right, but the device has another owner'), ('throttled', 'Too many attempts, so it was not looked at')], max_length=16)),
                    ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ],
                options={
                    'ordering': ['-created_at'],
                },
            ),
            migrations.CreateModel(
                name='Picture',
                fields=[
                    ('digest', models.CharField(editable=False, max_length=64, primary_key=True, serialize=False)),
                    ('media_type', models.CharField(max_length=16)),
                    ('content', models.BinaryField()),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                ],
            ),
            migrations.CreateModel(
                name='DeviceModel',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('model_id', models.CharField(default=devices.models.products.new_model_id, help_text="As in Amazon's Dash console. It stays for ever.", max_length=64, unique=True, validators=[django.core.validators.RegexValidator('\\A[A-Za-z0-9+_-]+\\Z', 'Use letters, digits, plus, underscore and hyphen only.')], verbose_name='model ID')),
                    ('name', models.CharField(max_length=60)),
                    ('manufacturer', models.CharField(max_length=128)),
                    ('description', models.CharField(help_text='Names the maker; customers see it in the Alexa app.', max_length=128)),
                    ('display_category', models.CharField(choices=[('OTHER', 'Other'), ('AIR_CONDITIONER', 'Air conditioner'), ('AIR_FRESHENER', 'Air freshener'), ('AIR_PURIFIER', 'Air purifier'), ('AIR_QUALITY_MONITOR', 'Air quality monitor'), ('CAMERA', 'Camera'), ('COFFEE_MAKER', 'Coffee maker'), ('CONTACT_SENSOR', 'Contact sensor'), ('DISHWASHER', 'Dishwasher'), ('DOORBELL', 'Doorbell'), ('DRYER', 'Dryer'), ('FAN', 'Fan'), ('HUB', 'Hub'), ('LIGHT', 'Light'), ('MICROWAVE', 'Microwave'), ('MOTION_SENSOR', 'Motion sensor'), ('OVEN', 'Oven'), ('PRINTER', 'Printer'), ('REMOTE', 'Remote'), ('SECURITY_SYSTEM', 'Security system'), ('SLOW_COOKER', 'Slow cooker'), ('SMARTPLUG', 'Smart plug'), ('SWITCH', 'Switch'), ('TEMPERATURE_SENSOR', 'Temperature sensor'), ('THERMOSTAT', 'Thermostat'), ('VACUUM_CLEANER', 'Vacuum cleaner'), ('WASHER', 'Washer'), ('WATER_HEATER', 'Water heater')], default='OTHER', max_length=32)),
                    ('offline_after', models.DurationField(default=datetime.timedelta(seconds=3600), help_text='A unit that has been silent for so long is offline: hh:mm:ss, 2 minutes to 31 days.', validators=[django.core.validators.MinValueValidator(datetime.timedelta(seconds=120)), django.core.validators.MaxValueValidator(datetime.timedelta(days=31))])),
                    ('drs_state', models.CharField(choices=[('draft', 'Draft: not yet shown to Amazon'), ('testing', 'Testing: with test replenishment IDs'), ('certified', 'Certified: with live replenishment IDs'), ('locked', 'Locked: only marketplaces may be added')], default='draft', max_length=16, verbose_name='DRS state')),
                    ('capabilities', models.JSONField(blank=True, default=list, help_text="Interfaces besides the slots' and those that every model has.")),
                    ('warranty_months', models.PositiveSmallIntegerField(default=24, help_text='Counted from the claim; 0: none.', validators=[django.core.validators.MaxValueValidator(240)])),
                    ('picture', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='devices.picture')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                ],
                options={
                    'ordering': ['model_id'],
                    'permissions': [('publish_devicemodel', 'Can publish a draft of a device model')],
                },
            ),
            migrations.CreateModel(
                name='ModelMarketplace',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('device_model', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='marketplaces', to='devices.devicemodel')),
                    ('marketplace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='devices.marketplace')),
                    ('friendly_name', models.CharField(help_text='In the language of the marketplace.', max_length=128)),
                ],
                options={
                    'ordering': ['device_model_id', 'marketplace_id'],
                    'constraints': [models.UniqueConstraint(fields=('device_model', 'marketplace'), name='marketplace_once_per_model')],
                },
            ),
            migrations.CreateModel(
                name='Slot',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('device_model', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='devices.devicemodel')),
                    ('slot_id', models.CharField(help_text='What the device calls it.', max_length=64, validators=[django.core.validators.RegexValidator('\\A[A-Za-z0-9._-]+\\Z', 'Use letters, digits, dot, underscore and hyphen only.')], verbose_name='slot ID')),
                    ('name', models.CharField(help_text='What the customer calls it.', max_length=128)),
                    ('locale', models.CharField(default='en-US', help_text='Language of the name.', max_length=5)),
                    ('sensor', models.CharField(choices=[('level', 'Level: what is left'), ('usage', 'Usage: what was just used'), ('level_usage', 'Level usage: how much of its life was just used')], default='level', max_length=16)),
                    ('measurement', models.CharField(choices=[('Percentage', 'Percentage'), ('Count', 'Count'), ('Volume', 'Volume'), ('Weight', 'Weight')], default='Percentage', max_length=16)),
                    ('unit', models.CharField(blank=True, choices=[('LITER', 'LITER'), ('MILLILITER', 'MILLILITER'), ('METRIC_CUP', 'METRIC_CUP'), ('METRIC_TEASPOON', 'METRIC_TEASPOON'), ('UK_TABLESPOON', 'UK_TABLESPOON'), ('AU_TABLESPOON', 'AU_TABLESPOON'), ('CUBIC_CENTIMETER', 'CUBIC_CENTIMETER'), ('CUBIC_METER', 'CUBIC_METER'), ('UK_GALLON', 'UK_GALLON'), ('UK_QUART', 'UK_QUART'), ('UK_PINT', 'UK_PINT'), ('UK_CUP', 'UK_CUP'), ('UK_GILL', 'UK_GILL'), ('UK_FLUID_OUNCE', 'UK_FLUID_OUNCE'), ('UK_FLUID_DRAM', 'UK_FLUID_DRAM'), ('CUBIC_INCH', 'CUBIC_INCH'), ('CUBIC_FOOT', 'CUBIC_FOOT'), ('CUBIC_YARD', 'CUBIC_YARD'), ('US_FLUID_GALLON', 'US_FLUID_GALLON'), ('US_FLUID_QUART', 'US_FLUID_QUART'), ('US_FLUID_PINT', 'US_FLUID_PINT'), ('US_FLUID_CUP', 'US_FLUID_CUP'), ('US_FLUID_OUNCE', 'US_FLUID_OUNCE'), ('US_GILL', 'US_GILL'), ('US_TABLESPOON', 'US_TABLESPOON'), ('US_TEASPOON', 'US_TEASPOON'), ('US_DRAM', 'US_DRAM'), ('US_DRY_GALLON', 'US_DRY_GALLON'), ('US_DRY_QUART', 'US_DRY_QUART'), ('US_DRY_PINT', 'US_DRY_PINT'), ('KILOGRAM', 'KILOGRAM'), ('GRAM', 'GRAM'), ('MILLIGRAM', 'MILLIGRAM'), ('MICROGRAM', 'MICROGRAM'), ('METRIC_POUND', 'METRIC_POUND'), ('POUND', 'POUND'), ('OUNCE', 'OUNCE'), ('DRAM', 'DRAM')], help_text='For Volume and Weight only.', max_length=24)),
                    ('capacity', models.DecimalField(blank=True, decimal_places=3, max_digits=12, null=True)),
                    ('instance', models.CharField(help_text="Alexa's name of the sensor, the same for every unit, e.g. Beans.Hopper. Never change it.", max_length=64, validators=[django.core.validators.RegexValidator('\\A[A-Za-z0-9._-]+\\Z', 'Use letters, digits, dot, underscore and hyphen only.')])),
                    ('names', models.JSONField(blank=True, default=dict, help_text='Names by language, synonyms after the first: {"de-DE": ["Kaffeebohnen", "Bohnen"]}.')),
                    ('raw_zero', models.DecimalField(decimal_places=3, default=0, help_text='The figure that a device sends when there is nothing.', max_digits=12)),
                    ('raw_factor', models.DecimalField(decimal_places=9, default=1, help_text='Reported = (sent - zero) x factor; 1 where the device counts as we do.', max_digits=18)),
                    ('replenishment_id', models.CharField(blank=True, help_text='What Alexa is told now: the test ID until the model is certified, then the live one.', max_length=256, validators=[django.core.validators.RegexValidator('\\A[!-~]+\\Z', "Amazon's text as it is: no spaces, no letters outside ASCII.")], verbose_name='replenishment ID')),
                    ('test_replenishment_id', models.CharField(blank=True, max_length=256, validators=[django.core.validators.RegexValidator('\\A[!-~]+\\Z', "Amazon's text as it is: no spaces, no letters outside ASCII.")], verbose_name='test replenishment ID')),
                    ('live_replenishment_id', models.CharField(blank=True, max_length=256, validators=[django.core.validators.RegexValidator('\\A[!-~]+\\Z', "Amazon's text as it is: no spaces, no letters outside ASCII.")], verbose_name='live replenishment ID')),
                ],
                options={
                    'ordering': ['device_model_id', 'slot_id'],
                    'constraints': [models.UniqueConstraint(fields=('device_model', 'slot_id'), name='slot_id_once_per_model'), models.UniqueConstraint(fields=('device_model', 'instance'), name='slot_instance_once_per_model'), models.UniqueConstraint(condition=models.Q(('test_replenishment_id', ''), _negated=True), fields=('test_replenishment_id',), name='test_replenishment_id_once'), models.UniqueConstraint(condition=models.Q(('live_replenishment_id', ''), _negated=True), fields=('live_replenishment_id',), name='live_replenishment_id_once')],
                },
            ),
            migrations.CreateModel(
                name='SlotProduct',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('slot', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='products', to='devices.slot')),
                    ('marketplace', models.CharField(default='US', max_length=2, validators=[django.core.validators.RegexValidator('\\A[A-Z]{2}\\Z', 'Two capital letters, e.g. US.')])),
                    ('asin', models.CharField(max_length=10, validators=[django.core.validators.RegexValidator('\\A[A-Z0-9]{10}\\Z', 'An ASIN is 10 capital letters and digits.')], verbose_name='ASIN')),
                    ('title', models.CharField(blank=True, max_length=256)),
                    ('quantity', models.DecimalField(blank=True, decimal_places=3, max_digits=12, null=True)),
                    ('unit', models.CharField(blank=True, max_length=24)),
                    ('active', models.BooleanField(default=True)),
                ],
                options={
                    'ordering': ['slot_id', 'marketplace', 'asin'],
                    'constraints': [models.UniqueConstraint(fields=('slot', 'marketplace', 'asin'), name='asin_once_per_slot_and_marketplace')],
                },
            ),
            migrations.CreateModel(
                name='Device',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('serial_number', models.CharField(max_length=64, unique=True, validators=[django.core.validators.RegexValidator('\\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\\Z', 'Use letters, digits, dot, underscore and hyphen only.')])),
                    ('device_model', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='devices.devicemodel')),
                    ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='devices', to=settings.AUTH_USER_MODEL)),
                    ('name', models.CharField(help_text='What the owner calls it, in Alexa too.', max_length=128)),
                    ('ownership', models.UUIDField(blank=True, editable=False, null=True)),
                    ('claimed_at', models.DateTimeField(blank=True, editable=False, null=True)),
                    ('warranty_until', models.DateField(blank=True, editable=False, help_text='Counted from the first claim; a later owner has what is left.', null=True)),
                    ('key_hash', models.CharField(editable=False, max_length=64)),
                    ('key_seen_at', models.DateTimeField(blank=True, editable=False, help_text='Empty: the unit may not have it yet.', null=True, verbose_name='present key first used')),
                    ('key_changed_at', models.DateTimeField(blank=True, editable=False, help_text="Empty: the key is the factory's.", null=True)),
                    ('previous_key_hash', models.CharField(blank=True, default='', editable=False, max_length=64)),
                    ('previous_key_until', models.DateTimeField(blank=True, editable=False, help_text='Empty: until the present key is used.', null=True)),
                    ('claim_code_hash', models.CharField(editable=False, max_length=64)),
                    ('reset_epoch', models.IntegerField(default=0, editable=False)),
                    ('mac_address', models.CharField(blank=True, default='', editable=False, max_length=17, verbose_name='MAC address')),
                    ('firmware_version', models.CharField(blank=True, max_length=64)),
                    ('online', models.BooleanField(default=True, editable=False)),
                    ('last_seen_at', models.DateTimeField(blank=True, editable=False, null=True)),
                    ('clock_doubted_at', models.DateTimeField(blank=True, editable=False, help_text='When it last claimed to have measured in the future, or before 2000; our time was taken instead.', null=True, verbose_name='clock last wrong')),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                ],
                options={
                    'ordering': ['serial_number'],
                    'permissions': [('rotate_key_device', 'Can give a device a new key'), ('release_device', 'Can release a device from its owner'), ('revoke_key_device', 'Can revoke all keys of a device at once'), ('import_device', "Can import a factory's list of devices")],
                    'indexes': [models.Index(condition=models.Q(('online', True)), fields=['device_model', 'last_seen_at'], name='device_silence'), models.Index(condition=models.Q(('claimed_at__isnull', False), ('last_seen_at__isnull', True), ('online', True)), fields=['device_model', 'claimed_at'], name='device_never_heard')],
                    'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('claimed_at__isnull', True), ('owner__isnull', True), ('ownership__isnull', True)), models.Q(('claimed_at__isnull', False), ('owner__isnull', False), ('ownership__isnull', False)), _connector='OR'), name='device_claim_is_whole'), models.UniqueConstraint(condition=models.Q(('ownership__isnull', False)), fields=('ownership',), name='device_ownership_is_one')],
                },
            ),
            migrations.CreateModel(
                name='Inventory',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('device', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='inventories', to='devices.device')),
                    ('slot', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='devices.slot')),
                    ('value', models.DecimalField(decimal_places=3, max_digits=12)),
                    ('measured_at', models.DateTimeField(help_text="The device's clock.")),
                    ('heard_at', models.DateTimeField(help_text='Our clock.')),
                    ('epoch', models.IntegerField(default=0)),
                    ('sequence', models.BigIntegerField()),
                ],
                options={
                    'verbose_name_plural': 'inventories',
                    'ordering': ['device_id', 'slot_id'],
                    'constraints': [models.UniqueConstraint(fields=('device', 'slot'), name='inventory_once_per_slot')],
                },
            ),
            migrations.CreateModel(
                name='Revision',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('device_model', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='revisions', to='devices.devicemodel')),
                    ('state', models.CharField(choices=[('draft', 'Draft'), ('published', 'Published'), ('discarded', 'Discarded')], default='draft', max_length=16)),
                    ('snapshot', models.JSONField()),
                    ('changes', models.JSONField(default=list, help_text='What the publication changed, in words.')),
                    ('reason', models.CharField(blank=True, max_length=500)),
                    ('edited_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('published_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('devices', models.PositiveBigIntegerField(default=0, help_text='Owned devices that were to be told.')),
                    ('told_up_to', models.BigIntegerField(blank=True, null=True)),
                    ('former_name', models.CharField(blank=True, default='', editable=False, max_length=128)),
                    ('created_at', models.DateTimeField(auto_now_add=True)),
                    ('edited_at', models.DateTimeField(auto_now=True)),
                    ('published_at', models.DateTimeField(blank=True, null=True)),
                ],
                options={
                    'ordering': ['-pk'],
                    'default_permissions': ('view',),
                    'indexes': [models.Index(condition=models.Q(('told_up_to__isnull', False)), fields=['id'], name='revision_to_be_told')],
                    'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'draft')), fields=('device_model',), name='one_draft_per_model')],
                },
            ),
            migrations.CreateModel(
                name='HandCheck',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('device_model', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hand_checks', to='devices.devicemodel')),
                    ('item', models.CharField(max_length=64)),
                    ('note', models.CharField(max_length=500)),
                    ('checked_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('checked_at', models.DateTimeField(auto_now=True)),
                ],
                options={
                    'ordering': ['item'],
                    'default_permissions': ('view',),
                    'constraints': [models.UniqueConstraint(fields=('device_model', 'item'), name='hand_check_once_per_model')],
                },
            ),
            migrations.CreateModel(
                name='Shadow',
                fields=[
                    ('device', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='shadow', serialize=False, to='devices.device')),
                    ('ownership', models.UUIDField(editable=False, null=True)),
                    ('desired', models.JSONField(blank=True, default=dict)),
                    ('reported', models.JSONField(blank=True, default=dict)),
                    ('reported_at', models.DateTimeField(blank=True, null=True)),
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
                    ('device', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='devices.device')),
                    ('event_id', models.CharField(max_length=64)),
                    ('type', models.CharField(choices=[('doorbell_press', 'Doorbell pressed'), ('consumable_replaced', 'Consumable replaced'), ('factory_reset', 'Reset to factory settings')], max_length=24)),
                    ('slot_id', models.CharField(blank=True, max_length=64, verbose_name='slot')),
                    ('happened_at', models.DateTimeField(help_text="The device's clock; ours where it has none.")),
                    ('heard_at', models.DateTimeField()),
                ],
                options={
                    'ordering': ['-heard_at', '-pk'],
                    'indexes': [models.Index(fields=['heard_at'], name='event_heard')],
                    'constraints': [models.UniqueConstraint(fields=('device', 'event_id'), name='event_told_once')],
                },
            ),
            migrations.SeparateDatabaseAndState(
                [migrations.RunSQL(HISTORY)],
                [
                    migrations.CreateModel(
                        name='Reading',
                        fields=[
                            ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                            ('device', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='readings', to='devices.device')),
                            ('slot', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.slot')),
                            ('epoch', models.IntegerField(default=0)),
                            ('sequence', models.BigIntegerField()),
                            ('value', models.DecimalField(decimal_places=3, max_digits=12)),
                            ('measured_at', models.DateTimeField()),
                            ('heard_at', models.DateTimeField()),
                        ],
                        options={
                            'indexes': [models.Index(fields=['device', 'slot', 'epoch', 'sequence'], name='reading_in_order')],
                        },
                    ),
                    migrations.CreateModel(
                        name='HeardSequences',
                        fields=[
                            ('pk', models.CompositePrimaryKey('device', 'slot', 'epoch', 'block', blank=True, editable=False, primary_key=True, serialize=False)),
                            ('device', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='devices.device')),
                            ('slot', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.slot')),
                            ('epoch', models.IntegerField()),
                            ('block', models.BigIntegerField()),
                            ('bits', models.BigIntegerField()),
                        ],
                    ),
                    migrations.CreateModel(
                        name='DailyUse',
                        fields=[
                            ('pk', models.CompositePrimaryKey('device', 'slot', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                            ('device', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='days', to='devices.device')),
                            ('slot', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.slot')),
                            ('day', models.DateField()),
                            ('readings', models.IntegerField()),
                            ('minimum', models.DecimalField(decimal_places=3, max_digits=12)),
                            ('maximum', models.DecimalField(decimal_places=3, max_digits=12)),
                            ('last', models.DecimalField(decimal_places=3, max_digits=12)),
                            ('consumed', models.DecimalField(decimal_places=3, max_digits=24)),
                            ('epoch', models.IntegerField()),
                            ('sequence', models.BigIntegerField()),
                        ],
                        options={
                            'ordering': ['device_id', 'slot_id', 'day'],
                        },
                    ),
                ],
            ),
            migrations.RunSQL(SHOPS),
        ),
    ]
