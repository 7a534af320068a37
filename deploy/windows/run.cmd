@echo off
rem Double-click: installs what is needed, the first time and after an update, then serves until Ctrl+C.
rem If something goes wrong, the window stays open and says what.
setlocal
title Healthcare Integration API
cd /d "%~dp0..\.."

fc /b requirements.txt .venv\installed.txt >nul 2>&1
if not errorlevel 1 goto serve
if exist .venv\Scripts\python.exe goto install

rem What lies here is for this user, the system and administrators: patients, keys and backups.
icacls . /inheritance:r /grant:r "%USERDOMAIN%\%USERNAME%:(OI)(CI)F" "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" >nul
if errorlevel 1 echo Warning: other users of this computer may be able to read this folder. See docs\windows.md.
py -3 -c "import sys; sys.exit(sys.version_info < (3, 11))"
if errorlevel 1 goto nopython
py -3 -m venv .venv
if errorlevel 1 goto failed

:install
echo Installing. This takes a minute or two.
".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
if errorlevel 1 goto failed
copy /y requirements.txt .venv\installed.txt >nul

:serve
call "%~dp0..\..\flask.cmd" serve
if not errorlevel 1 exit /b 0

:failed
echo.
echo It has ended with an error. The lines above say why; docs\windows.md may help.
pause
exit /b 1

:nopython
echo.
echo Python 3.11 or newer is needed. Install it from https://www.python.org or in PowerShell with
echo     winget install --exact --id Python.Python.3.13
echo then open this file again.
pause
exit /b 1
