"""Upload, download and removal of files."""

import hashlib

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from files.models import Upload


class UploadForm(forms.Form):
    """One file."""

    file = forms.FileField(allow_empty_file=True)


@login_required
def files(request: HttpRequest) -> HttpResponse:
    """Lists the files, and takes a new one."""
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        upload = _keep(form.cleaned_data["file"])
        messages.success(request, f"Kept {upload.name}, {upload.size} bytes.")
        return redirect("files")
    return render(request, "files/files.html", {"form": form, "uploads": Upload.objects.all()})


@login_required
def download(request: HttpRequest, key: int) -> FileResponse:
    """Sends a file. FileResponse goes through wsgi.file_wrapper, so the server may use sendfile."""
    upload = get_object_or_404(Upload, pk=key)
    return FileResponse(upload.file.open("rb"), as_attachment=True, filename=upload.name)


@login_required
@require_POST
def delete(request: HttpRequest, key: int) -> HttpResponse:
    """Removes a file."""
    upload = get_object_or_404(Upload, pk=key)
    upload.file.delete(save=False)
    upload.delete()
    messages.success(request, f"Removed {upload.name}.")
    return redirect("files")


def _keep(received: UploadedFile) -> Upload:
    digest = hashlib.sha256()
    for block in received.chunks():
        digest.update(block)
    return Upload.objects.create(name=received.name, file=received, size=received.size, sha256=digest.hexdigest())
