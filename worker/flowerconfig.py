"""Flower's options, read by `celery flower --conf`. A password given as an argument would show in
the list of processes, so all of them are here.
"""

from worker.app import settings

_folder = settings.data_dir / "flower"
_folder.mkdir(parents=True, exist_ok=True)

address = settings.host
port = settings.flower_port
basic_auth = [settings.flower_basic_auth] if settings.flower_basic_auth else []
persistent = True
db = str(_folder / "history")
state_save_interval = 5000  # Milliseconds: what a kill may cost.
