//! The components of Microsoft's Unattended Windows Setup Reference and the passes in which they have settings.
//!
//! Source: learn.microsoft.com/windows-hardware/customize/desktop/unattend/components-b-unattend (Windows 10 and 11); the
//! passes as `resource/Component.json` of cschneegans/unattend-generator (MIT) lists them at commit 2edd3de8. The reference is not complete:
//! any component of an image may take settings (the image's catalogue has them all), and older Windows had others.

use super::Pass::{self, AuditSystem, AuditUser, Generalize, OfflineServicing, OobeSystem, Specialize, WindowsPe};

/// A component with settings for answer files.
pub(super) struct KnownComponent {
    /// Its name. Windows compares names without regard to case.
    pub(super) name: &'static str,
    /// The passes in which at least one of its settings may stand.
    pub(super) passes: &'static [Pass],
}

const fn component(name: &'static str, passes: &'static [Pass]) -> KnownComponent {
    KnownComponent { name, passes }
}

/// All of them, in the order of their names.
pub(super) const KNOWN_COMPONENTS: &[KnownComponent] = &[
    component("Microsoft-Windows-Audio-AudioCore", &[Specialize]),
    component("Microsoft-Windows-Audio-VolumeControl", &[Specialize]),
    component("Microsoft-Windows-Authentication-AuthUI", &[Specialize]),
    component("Microsoft-Windows-BLB-WSB-Online-Main", &[Specialize, OobeSystem]),
    component("Microsoft-Windows-BrowserService", &[Generalize]),
    component("Microsoft-Windows-CodeIntegrity", &[OfflineServicing]),
    component("Microsoft-Windows-CoreMmRes", &[Generalize, Specialize, AuditSystem, AuditUser, OobeSystem]),
    component("Microsoft-Windows-Deployment", &[Generalize, Specialize, AuditSystem, AuditUser, OobeSystem]),
    component("Microsoft-Windows-DeviceAccess", &[Specialize]),
    component("Microsoft-Windows-DeviceGuard-Unattend", &[OfflineServicing]),
    component("Microsoft-Windows-DiagCpl", &[OfflineServicing, Generalize, Specialize]),
    component("Microsoft-Windows-Disk-Failure-Diagnostic-Module", &[OfflineServicing, Generalize, Specialize]),
    component("Microsoft-Windows-DNS-Client", &[Specialize]),
    component("Microsoft-Windows-Embedded-BootExp", &[Specialize, OobeSystem]),
    component("Microsoft-Windows-Embedded-EmbeddedLogon", &[OfflineServicing, Specialize]),
    component("Microsoft-Windows-Embedded-KeyboardFilterService", &[OfflineServicing]),
    component("Microsoft-Windows-Embedded-ShellLauncher", &[OobeSystem]),
    component("Microsoft-Windows-Embedded-UnifiedWriteFilter", &[Specialize]),
    component("Microsoft-Windows-EnhancedStorage-Adm", &[Specialize]),
    component("Microsoft-Windows-ErrorReportingCore", &[Specialize]),
    component("Microsoft-Windows-Fax-Service", &[Specialize]),
    component("Microsoft-Windows-GPIOButtons", &[OfflineServicing, Specialize]),
    component("Microsoft-Windows-HelpAndSupport", &[Specialize, OobeSystem]),
    component("Microsoft-Windows-IE-ClientNetworkProtocolImplementation", &[OobeSystem]),
    component("Microsoft-Windows-IE-ESC", &[Specialize]),
    component("Microsoft-Windows-IE-InternetExplorer", &[Specialize]),
    component("Microsoft-Windows-International-Core", &[Specialize, OobeSystem]),
    component("Microsoft-Windows-International-Core-WinPE", &[WindowsPe]),
    component("Microsoft-Windows-LUA-Settings", &[OfflineServicing]),
    component("Microsoft-Windows-MapControl-Desktop", &[Specialize, OobeSystem]),
    component("Microsoft-Windows-MediaPlayer-Core", &[OfflineServicing]),
    component("Microsoft-Windows-MicrosoftEdgeBrowser", &[Specialize]),
    component("Microsoft-Windows-MobilePC-Sensors-API", &[Specialize]),
    component("Microsoft-Windows-NetBT", &[Specialize]),
    component("Microsoft-Windows-NetworkBridge", &[Generalize]),
    component("Microsoft-Windows-NetworkLoadBalancing-Core", &[Specialize]),
    component("Microsoft-Windows-OutOfBoxExperience", &[Generalize, Specialize]),
    component("Microsoft-Windows-PartitionManager", &[OfflineServicing]),
    component("Microsoft-Windows-PnpCustomizationsNonWinPE", &[OfflineServicing, AuditSystem]),
    component("Microsoft-Windows-PnpCustomizationsWinPE", &[WindowsPe]),
    component("Microsoft-Windows-PnpSysprep", &[Generalize, Specialize]),
    component("Microsoft-Windows-PowerCPL", &[Generalize, Specialize]),
    component("Microsoft-Windows-Printing-Spooler-Core", &[Specialize]),
    component("Microsoft-Windows-RasServer", &[Specialize]),
    component("Microsoft-Windows-RemoteAssistance-Exe", &[Specialize]),
    component("Microsoft-Windows-SecureStartup-FilterDriver", &[OfflineServicing, Specialize, AuditSystem, OobeSystem]),
    component("Microsoft-Windows-Security-SPP", &[Generalize]),
    component("Microsoft-Windows-Security-SPP-UX", &[Specialize]),
    component("Microsoft-Windows-ServerManager-SvrMgrNc", &[Generalize, Specialize]),
    component("Microsoft-Windows-Setup", &[WindowsPe]),
    component("Microsoft-Windows-SharedAccess", &[Generalize]),
    component("Microsoft-Windows-Shell-Setup", &[WindowsPe, OfflineServicing, Generalize, Specialize, AuditSystem, AuditUser, OobeSystem]),
    component("Microsoft-Windows-SHWebSVC", &[OobeSystem]),
    component("Microsoft-Windows-SMBServer", &[Generalize]),
    component("Microsoft-Windows-SNMP-Agent-Service", &[Generalize, Specialize]),
    component("Microsoft-Windows-SQMAPI", &[Specialize]),
    component("Microsoft-Windows-STObject", &[Generalize, Specialize]),
    component("Microsoft-Windows-StorPort-RegistrySettings", &[Specialize, AuditSystem, AuditUser, OobeSystem]),
    component("Microsoft-Windows-SystemMaintenanceService", &[Specialize]),
    component("Microsoft-Windows-SystemRestore-Main", &[Specialize]),
    component("Microsoft-Windows-SystemSettingsThreshold", &[Generalize, Specialize]),
    component("Microsoft-Windows-TabletPC-Platform-Input-Core", &[OfflineServicing, Specialize, OobeSystem]),
    component("Microsoft-Windows-TapiSetup", &[Specialize]),
    component("Microsoft-Windows-TCPIP", &[WindowsPe, Specialize]),
    component("Microsoft-Windows-TerminalServices-CentralPublishing", &[OobeSystem]),
    component("Microsoft-Windows-TerminalServices-LicenseServer", &[OobeSystem]),
    component("Microsoft-Windows-TerminalServices-LocalSessionManager", &[OfflineServicing, Generalize, Specialize]),
    component("Microsoft-Windows-TerminalServices-Publishing-WMIProvider", &[OfflineServicing, Generalize, Specialize]),
    component("Microsoft-Windows-TerminalServices-RDP-WinStationExtensions", &[Generalize, Specialize]),
    component("Microsoft-Windows-TerminalServices-RemoteConnectionManager", &[OfflineServicing, Generalize, Specialize]),
    component("Microsoft-Windows-Tpm-Tasks", &[Specialize]),
    component("Microsoft-Windows-TwinUI", &[OfflineServicing, Specialize, OobeSystem]),
    component("Microsoft-Windows-UnattendedJoin", &[OfflineServicing, Specialize]),
    component("Microsoft-Windows-WDF-KernelLibrary", &[OfflineServicing]),
    component("Microsoft-Windows-WiFiNetworkManager", &[OfflineServicing, Specialize, OobeSystem]),
    component("Microsoft-Windows-WinRE-RecoveryAgent", &[OobeSystem]),
    component("Microsoft-Windows-WLANSVC", &[WindowsPe, OfflineServicing, Specialize, OobeSystem]),
    component("Microsoft-Windows-WorkstationService", &[Generalize, Specialize]),
    component("Microsoft-Windows-WPD-BusEnumService", &[Specialize]),
    component("Microsoft-Windows-WWANUI", &[Generalize, Specialize]),
    component("Networking-MPSSVC-Svc", &[Specialize]),
    component("Security-Malware-Windows-Defender", &[OfflineServicing, Specialize, OobeSystem]),
];
