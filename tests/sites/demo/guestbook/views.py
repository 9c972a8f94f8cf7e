"""Reading and writing the guest book."""

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from guestbook.models import Message


class MessageForm(forms.ModelForm):
    """What a visitor fills in."""

    class Meta:
        """Author and text."""

        model = Message
        fields = ("author", "text")
        widgets = {"text": forms.Textarea(attrs={"rows": 3})}


def guestbook(request: HttpRequest) -> HttpResponse:
    """Shows the messages, and takes a new one."""
    form = MessageForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Thank you for your message.")
        return redirect("guestbook")
    page = Paginator(Message.objects.all(), 20).get_page(request.GET.get("page"))
    return render(request, "guestbook/guestbook.html", {"form": form, "page": page})
