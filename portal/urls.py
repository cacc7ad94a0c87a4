"""The whole site on one screen."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from portal import connect, health, metrics, views
from skill.oauth_views import Authorize, RevokeEndpoint, TokenEndpoint

oauth = (
    [
        path("authorize/", Authorize.as_view(), name="authorize"),
        path("token/", TokenEndpoint.as_view(), name="token"),
        path("revoke_token/", RevokeEndpoint.as_view(), name="revoke-token"),
    ],
    "oauth2_provider",
)

urlpatterns = [
    # What machines ask for, thousands of times as often as people.
    path("api/v1/", include("devices.urls")),
    path("skill/", include("skill.urls")),
    path("sns", include("notifications.urls")),
    path("", views.home, name="home"),
    path("devices/", views.devices, name="devices"),
    path("devices/add/", views.add_device, name="add_device"),
    path("devices/<str:serial>/", views.device, name="device"),
    path("devices/<str:serial>/rename/", views.rename_device, name="rename_device"),
    path("devices/<str:serial>/release/", views.release_device, name="release_device"),
    path("orders/", views.orders, name="orders"),
    path("account/", views.account, name="account"),
    path("account/unlink/", views.unlink_alexa, name="unlink_alexa"),
    path("account/delete/", views.delete_account, name="delete_account"),
    path("alexa/", connect.alexa, name="alexa"),
    path("alexa/connect/", connect.begin, name="connect_alexa"),
    path("alexa/return/", connect.returned, name="alexa_return"),
    path("alexa/check/", connect.check, name="check_alexa"),
    path("accounts/", include("allauth.account.urls")),
    path("o/", include(oauth)),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(template_name="devices/api_docs.html"), name="api_docs"),
    path("admin/", admin.site.urls),
    path("health/live", health.live, name="health_live"),
    path("health/ready", health.ready, name="health_ready"),
    path("metrics", metrics.metrics, name="metrics"),
]

handler400 = "portal.views.bad_request"
handler500 = "portal.views.server_error"
