@echo off
rem What the Task Scheduler starts: serves, and keeps the log of this start and of the one before.
setlocal
cd /d "%~dp0..\.."
if not exist instance mkdir instance
if exist instance\service.log move /y instance\service.log instance\service.before.log >nul
call "%~dp0..\..\flask.cmd" serve >instance\service.log 2>&1
exit /b %errorlevel%
