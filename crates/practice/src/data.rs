//! Names and numbers of the Windows that the practice media imitate: Windows 11, version 24H2.

use wimwright_format::manifest::Version;

/// Major, minor, build, revision.
pub(crate) const VERSION: [u16; 4] = [10, 0, 26100, 1742];
/// The same as text.
pub(crate) const VERSION_TEXT: &str = "10.0.26100.1742";
/// The version of the servicing stack.
pub(crate) const STACK_VERSION: Version = Version([10, 0, 26100, 1738]);
/// When the media's files were written: 2024-09-06T00:00:00Z as FILETIME.
pub(crate) const BUILD_TIME: u64 = 133_700_544_000_000_000;
/// When a captured installation was used: 2024-11-20T00:00:00Z.
pub(crate) const CAPTURE_TIME: u64 = 133_765_344_000_000_000;

/// Files of System32, by component: `microsoft-windows-` and the name without extension.
pub(crate) const SYSTEM_FILES: [&str; 96] = [
    "ntdll.dll",
    "kernel32.dll",
    "kernelbase.dll",
    "user32.dll",
    "gdi32.dll",
    "gdi32full.dll",
    "advapi32.dll",
    "sechost.dll",
    "rpcrt4.dll",
    "combase.dll",
    "ole32.dll",
    "oleaut32.dll",
    "shell32.dll",
    "shlwapi.dll",
    "shcore.dll",
    "ws2_32.dll",
    "crypt32.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "ncrypt.dll",
    "msvcrt.dll",
    "ucrtbase.dll",
    "msvcp_win.dll",
    "imm32.dll",
    "comctl32.dll",
    "comdlg32.dll",
    "propsys.dll",
    "uxtheme.dll",
    "dwmapi.dll",
    "d3d11.dll",
    "dxgi.dll",
    "d2d1.dll",
    "dwrite.dll",
    "windowscodecs.dll",
    "setupapi.dll",
    "cfgmgr32.dll",
    "devobj.dll",
    "wintrust.dll",
    "version.dll",
    "winhttp.dll",
    "wininet.dll",
    "urlmon.dll",
    "iertutil.dll",
    "dnsapi.dll",
    "iphlpapi.dll",
    "netapi32.dll",
    "samlib.dll",
    "secur32.dll",
    "sspicli.dll",
    "userenv.dll",
    "wtsapi32.dll",
    "powrprof.dll",
    "winmm.dll",
    "msi.dll",
    "cabinet.dll",
    "dbghelp.dll",
    "dismapi.dll",
    "wimgapi.dll",
    "wdscore.dll",
    "taskschd.dll",
    "esent.dll",
    "mpr.dll",
    "ntoskrnl.exe",
    "winload.exe",
    "winload.efi",
    "winresume.exe",
    "hal.dll",
    "ci.dll",
    "smss.exe",
    "csrss.exe",
    "wininit.exe",
    "winlogon.exe",
    "services.exe",
    "lsass.exe",
    "svchost.exe",
    "cmd.exe",
    "reg.exe",
    "regsvr32.exe",
    "rundll32.exe",
    "notepad.exe",
    "taskmgr.exe",
    "mmc.exe",
    "msiexec.exe",
    "dism.exe",
    "sfc.exe",
    "robocopy.exe",
    "xcopy.exe",
    "wscript.exe",
    "cscript.exe",
    "conhost.exe",
    "explorerframe.dll",
    "dllhost.exe",
    "spoolsv.exe",
    "wusa.exe",
    "win32k.sys",
    "win32kfull.sys",
];

/// Files of System32\drivers.
pub(crate) const DRIVERS: [&str; 16] = [
    "acpi.sys",
    "afd.sys",
    "classpnp.sys",
    "disk.sys",
    "fltmgr.sys",
    "http.sys",
    "mountmgr.sys",
    "ndis.sys",
    "ntfs.sys",
    "partmgr.sys",
    "pci.sys",
    "storport.sys",
    "stornvme.sys",
    "tcpip.sys",
    "volmgr.sys",
    "volsnap.sys",
];

/// Directories of every full Windows image that nothing else makes.
pub(crate) const DIRECTORIES: &str = "PerfLogs|Program Files/Common Files/microsoft shared|Program Files/Common Files/System|Program Files/Internet Explorer/en-US|\
Program Files/Windows Defender|Program Files/Windows NT/Accessories|Program Files (x86)/Common Files/Microsoft Shared|\
Program Files (x86)/Internet Explorer|Program Files (x86)/Microsoft/Edge/Application|ProgramData/Microsoft/Windows/AppRepository|\
ProgramData/Microsoft/Windows/ClipSVC/Install/Apps|ProgramData/Microsoft/Windows/Start Menu/Programs/StartUp|ProgramData/Microsoft/Windows/Templates|\
ProgramData/SoftwareDistribution|Windows/appcompat/Programs|Windows/AppReadiness|Windows/assembly|Windows/bcastdvr|Windows/Boot/DVD/EFI|\
Windows/Boot/EFI/en-US|Windows/Boot/PCAT/en-US|Windows/Branding/Basebrd|Windows/CbsTemp|Windows/Containers|Windows/Cursors|Windows/debug|\
Windows/DiagTrack|Windows/DigitalLocker|Windows/Downloaded Program Files|Windows/Fonts|Windows/Globalization/Sorting|Windows/Help|Windows/IME|\
Windows/ImmersiveControlPanel|Windows/INF|Windows/L2Schemas|Windows/LiveKernelReports|Windows/Logs/CBS|Windows/Media|Windows/Microsoft.NET/Framework|\
Windows/Microsoft.NET/Framework64|Windows/Migration|Windows/ModemLogs|Windows/OCR|Windows/Offline Web Pages|Windows/Panther|Windows/Performance/WinSAT|\
Windows/PLA|Windows/PolicyDefinitions/en-US|Windows/Prefetch|Windows/Provisioning/Packages|Windows/Registration|Windows/rescache|\
Windows/Resources/Themes|Windows/SchCache|Windows/security/database|Windows/ServiceProfiles/LocalService|Windows/ServiceProfiles/NetworkService|\
Windows/servicing/Editions|Windows/servicing/en-US|Windows/servicing/LCU|Windows/servicing/Packages|Windows/servicing/Sessions|Windows/servicing/SQM|\
Windows/servicing/Version/10.0.26100.1738|Windows/Setup/Scripts|Windows/Setup/State|Windows/ShellComponents|Windows/SKB|Windows/SoftwareDistribution|\
Windows/Speech|Windows/System|Windows/System32/Boot/en-US|Windows/System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}|Windows/System32/catroot2|\
Windows/System32/config/RegBack|Windows/System32/config/systemprofile/AppData/Local|Windows/System32/Dism/en-US|Windows/System32/downlevel|\
Windows/System32/drivers/en-US|Windows/System32/drivers/etc|Windows/System32/DriverStore/en-US|Windows/System32/DriverStore/FileRepository|\
Windows/System32/GroupPolicy|Windows/System32/LogFiles|Windows/System32/Microsoft/Protect|Windows/System32/migwiz|Windows/System32/oobe/en-US|\
Windows/System32/Recovery|Windows/System32/restore|Windows/System32/spool/drivers/x64|Windows/System32/Sysprep/en-US|Windows/System32/Tasks/Microsoft/Windows|\
Windows/System32/wbem/Repository|Windows/System32/WindowsPowerShell/v1.0/Modules|Windows/System32/winevt/Logs|Windows/SystemApps|\
Windows/SystemResources|Windows/SysWOW64/config|Windows/SysWOW64/Dism|Windows/SysWOW64/drivers|Windows/SysWOW64/wbem|Windows/Temp|Windows/tracing|\
Windows/Vss/Writers|Windows/WaaS|Windows/Web/Screen|Windows/WinSxS/Backup|Windows/WinSxS/Catalogs|Windows/WinSxS/FileMaps|Windows/WinSxS/Fusion|\
Windows/WinSxS/InstallTemp|Windows/WinSxS/Temp/InFlight|Windows/WinSxS/Temp/PendingDeletes|Windows/WinSxS/Temp/PendingRenames";

/// Folders of a user's profile.
pub(crate) const PROFILE_FOLDERS: &str = "AppData/Local/Microsoft/Windows/History|AppData/Local/Microsoft/Windows/INetCache|AppData/Local/Microsoft/WindowsApps|\
AppData/Local/Temp|AppData/Roaming/Microsoft/Internet Explorer/Quick Launch|AppData/Roaming/Microsoft/Windows/Network Shortcuts|\
AppData/Roaming/Microsoft/Windows/Printer Shortcuts|AppData/Roaming/Microsoft/Windows/Recent|AppData/Roaming/Microsoft/Windows/SendTo|\
AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Accessibility|AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Maintenance|\
AppData/Roaming/Microsoft/Windows/Start Menu/Programs/System Tools|AppData/Roaming/Microsoft/Windows/Templates|Desktop|Documents|Downloads|\
Favorites|Links|Music|Pictures|Saved Games|Videos";

/// Junctions of a user's profile, and where they lead within it.
pub(crate) const PROFILE_JUNCTIONS: [(&str, &str); 10] = [
    ("Application Data", "AppData/Roaming"),
    ("Cookies", "AppData/Local/Microsoft/Windows/INetCookies"),
    ("Local Settings", "AppData/Local"),
    ("My Documents", "Documents"),
    ("NetHood", "AppData/Roaming/Microsoft/Windows/Network Shortcuts"),
    ("PrintHood", "AppData/Roaming/Microsoft/Windows/Printer Shortcuts"),
    ("Recent", "AppData/Roaming/Microsoft/Windows/Recent"),
    ("SendTo", "AppData/Roaming/Microsoft/Windows/SendTo"),
    ("Start Menu", "AppData/Roaming/Microsoft/Windows/Start Menu"),
    ("Templates", "AppData/Roaming/Microsoft/Windows/Templates"),
];

/// Small files at the medium's root and in `sources`, besides the boot files and image files. Programs are told by their names.
pub(crate) const MEDIUM_PROGRAMS: &str = "bootmgr.efi|setup.exe|boot/bootsect.exe|boot/en-us/bootsect.exe.mui|boot/memtest.exe|boot/resources/bootres.dll|\
efi/microsoft/boot/cdboot.efi|efi/microsoft/boot/cdboot_noprompt.efi|efi/microsoft/boot/memtest.efi|efi/microsoft/boot/resources/bootres.dll|\
sources/acres.dll|sources/actionqueue.dll|sources/aeinv.dll|sources/appraiser.dll|sources/autorun.dll|sources/compatresources.dll|sources/diager.dll|\
sources/dism.exe|sources/du.dll|sources/en-us/setup.exe.mui|sources/en-us/winsetup.dll.mui|sources/folderprovider.dll|sources/hwreqchk.dll|\
sources/imagingprovider.dll|sources/input.dll|sources/logprovider.dll|sources/mediasetupuimgr.dll|sources/migcore.dll|sources/mighost.exe|\
sources/migstore.dll|sources/ntdsupg.dll|sources/offlineprofileutils.dll|sources/pidgenx.dll|sources/pnpibs.dll|sources/reagent.dll|\
sources/rollback.exe|sources/setup.exe|sources/setupcompat.dll|sources/setupcore.dll|sources/setuphost.exe|sources/setupplatform.dll|\
sources/setupprep.exe|sources/smiengine.dll|sources/spwizeng.dll|sources/spwizres.dll|sources/unattend.dll|sources/unbcl.dll|sources/updateagent.dll|\
sources/uxlib.dll|sources/w32uires.dll|sources/wdsclient.dll|sources/wdscore.dll|sources/wdsimage.dll|sources/wimprovider.dll|sources/win32ui.dll|\
sources/windlp.dll|sources/winsetup.dll|support/logging/setupetw.dll|support/logging/windeployetw.dll";
