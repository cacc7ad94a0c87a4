import django.db.models.functions.text
import django.utils.timezone
import portal.models
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('portal', '0001_initial'),
        ('portal', '0003_leaving'),
    ]

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('email', models.EmailField(max_length=254, unique=True)),
                ('name', models.CharField(blank=True, max_length=128)),
                ('is_staff', models.BooleanField(default=False, help_text='May enter the admin.')),
                ('is_active', models.BooleanField(default=True, help_text='Switch off instead of deleting: every token of theirs stops working at once.')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now)),
                ('leaving_at', models.DateTimeField(blank=True, editable=False, help_text='Gone once Alexa has been told (leaving.py).', null=True, verbose_name='to be deleted since')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'constraints': [models.UniqueConstraint(django.db.models.functions.text.Lower('email'), name='user_email_any_case', violation_error_message='There is a user with this e-mail address.')],
            },
            managers=[
                ('objects', portal.models.UserManager()),
            ],
        ),
    ]
