@rem This project's commands, from any folder: with its own Python, program and .env, never another folder's.
@setlocal
@set FLASK_SKIP_DOTENV=1
@set PYTHONUTF8=1
@"%~dp0.venv\Scripts\python.exe" -P -m flask --app "%~dp0app" %*
