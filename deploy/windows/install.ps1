#Requires -RunAsAdministrator
<#
.SYNOPSIS
Starts the service whenever Windows starts, backs it up every night, and lets the local network reach it.
.DESCRIPTION
Run run.cmd once before. Both tasks run as the user who runs this, logged in or not, without a stored password.
To run it again changes what is there; it removes nothing.
.PARAMETER Port
The port that is opened in the firewall: PORT in .env, 5082 unless set.
.PARAMETER BackupAt
When the backup is made, every day.
.PARAMETER Keep
How many backups are kept.
#>
[CmdletBinding()]
param(
    [ValidateRange(1, 65535)] [int] $Port = 5082,
    [datetime] $BackupAt = '01:00',
    [ValidateRange(1, 1000)] [int] $Keep = 14
)
$ErrorActionPreference = 'Stop'

$root = (Resolve-Path (Join-Path $PSScriptRoot '..\..')).Path
$flask = Join-Path $root 'flask.cmd'
$service = Join-Path $PSScriptRoot 'service.cmd'
$user = [Security.Principal.WindowsIdentity]::GetCurrent().Name
$principal = New-ScheduledTaskPrincipal -UserId $user -LogonType S4U -RunLevel Limited
$anyPower = @{
    AllowStartIfOnBatteries    = $true
    DontStopIfGoingOnBatteries = $true
    StartWhenAvailable         = $true
    MultipleInstances          = 'IgnoreNew'
}

if (-not (Test-Path (Join-Path $root '.venv\Scripts\python.exe'))) {
    throw 'Start deploy\windows\run.cmd once: it installs what this needs.'
}

# The service: from the start of Windows on, without the usual end after 72 hours (PT0S: no limit).
$always = New-ScheduledTaskSettingsSet @anyPower -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1)
$always.ExecutionTimeLimit = 'PT0S'
# Whatever ended it: every five minutes it is started, unless it runs.
$starts = @(
    New-ScheduledTaskTrigger -AtStartup
    New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval (New-TimeSpan -Minutes 5)
)
$serve = New-ScheduledTaskAction -Execute $env:ComSpec -Argument "/d /c `"`"$service`"`"" -WorkingDirectory $root
Register-ScheduledTask -TaskName 'Clinic API' -Action $serve -Trigger $starts -Principal $principal -Settings $always -Force | Out-Null

# The backup.
$nightly = New-ScheduledTaskSettingsSet @anyPower -ExecutionTimeLimit (New-TimeSpan -Hours 2)
$daily = New-ScheduledTaskTrigger -Daily -At $BackupAt
$backup = New-ScheduledTaskAction -Execute $env:ComSpec -Argument "/d /c `"`"$flask`" backup --keep $Keep`"" -WorkingDirectory $root
Register-ScheduledTask -TaskName 'Clinic API backup' -Action $backup -Trigger $daily -Principal $principal -Settings $nightly -Force | Out-Null

# The firewall: the local network, where that is a private or a domain one; never a public one.
Get-NetFirewallRule -DisplayName 'Clinic API' -ErrorAction SilentlyContinue | Remove-NetFirewallRule
New-NetFirewallRule -DisplayName 'Clinic API' -Direction Inbound -Action Allow -Protocol TCP -LocalPort $Port -Profile @('Private', 'Domain') -RemoteAddress LocalSubnet | Out-Null

Start-ScheduledTask -TaskName 'Clinic API'
Write-Host "The service starts with Windows from now on, as $user. Its log: $root\instance\service.log"
