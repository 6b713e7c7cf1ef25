from django.urls import path

from . import views

urlpatterns = [
    path("", views.page),
    path("app.json", views.which_app),
    path("slack", views.slack),
    path("calendar", views.calendar),
    path("calendar/connect", views.connect),
    path("calendar/disconnect", views.disconnect),
]
