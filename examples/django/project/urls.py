from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home),
    path("sign-in", views.sign_in),
    path("calendar", views.calendar),
    path("base44/", include("base44_web.django.urls")),
]
