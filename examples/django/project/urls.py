from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home),
    path("sign-in", views.sign_in),
    path("calendar", views.calendar),
    path("source", views.source),
    path("base44/", include("base44_web.django.urls")),
]
