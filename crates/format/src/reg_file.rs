//! Registry scripts: .reg files and Group Policy Preferences Registry.xml.
