"""The service that everyone writes first, to compare with: pydub in the request.

It does the same for the same curl, in one process: takes a WAV as a form, makes an MP3 of it,
answers with its link. It is written as well as such a service can be: not `async`, so that
FastAPI runs each request in a thread of its own and others are answered meanwhile; the MP3 in a
file; users and records in SQLite, which takes no round trip.

    python -m bench.plain_service FOLDER PORT
"""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import imageio_ffmpeg
import uvicorn
from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel
from pydub import AudioSegment

FOLDER = Path(sys.argv[1])
PORT = int(sys.argv[2])

AudioSegment.converter = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
app = FastAPI()


class NewUser(BaseModel):
    name: str


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(FOLDER / "records.sqlite")) as connection, connection:
        yield connection


@app.post("/users", status_code=201)
def add_user(new: NewUser) -> dict[str, Any]:
    token = str(uuid4())
    with transaction() as database:
        row = database.execute("INSERT INTO users (name, token) VALUES (?, ?)", (new.name, token))
    return {"id": row.lastrowid, "token": token}


@app.post("/record", status_code=201)
def add_record(
    request: Request,
    user: Annotated[int, Form()],
    token: Annotated[str, Form()],
    file: Annotated[UploadFile, File()],
) -> dict[str, Any]:
    with transaction() as database:
        known = "SELECT 1 FROM users WHERE id = ? AND token = ?"
        if database.execute(known, (user, token)).fetchone() is None:
            raise HTTPException(401, "Unknown user or wrong token.")
    record = str(uuid4())
    mp3 = FOLDER / f"{record}.mp3"
    sound = AudioSegment.from_wav(file.file)
    sound.export(mp3, format="mp3").close()
    with transaction() as database:
        database.execute("INSERT INTO records VALUES (?, ?, ?)", (record, user, mp3.name))
    url = str(request.url_for("get_record").include_query_params(id=record, user=user))
    return {"url": url, "duration": sound.duration_seconds, "size": mp3.stat().st_size}


@app.get("/record")
def get_record(id: str, user: int) -> FileResponse:  # noqa: A002 - The name in the link.
    with transaction() as database:
        found = "SELECT file FROM records WHERE id = ? AND user = ?"
        row = database.execute(found, (id, user)).fetchone()
    if row is None:
        raise HTTPException(404, "There is no such record.")
    return FileResponse(FOLDER / row[0], media_type="audio/mpeg", filename="record.mp3")


@app.get("/health/live")
async def is_alive() -> dict[str, str]:
    return {"status": "alive"}


if __name__ == "__main__":
    with transaction() as database:
        database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, token TEXT)")
        database.execute("CREATE TABLE records (id TEXT PRIMARY KEY, user INTEGER, file TEXT)")
    uvicorn.run(app, port=PORT, access_log=False)
