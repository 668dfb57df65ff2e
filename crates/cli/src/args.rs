//! The arguments of all commands. Doc comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Services Windows installation images on Linux: no Windows, no DISM, no mount, no root
#[derive(Debug, Parser)]
#[command(name = "wimwright", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Where imported media and cached results are kept [default: $XDG_DATA_HOME/wimwright, else ~/.local/share/wimwright]
    #[arg(long, global = true, value_name = "DIR")]
    pub library: Option<PathBuf>,
}

/// How results are printed
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: one JSON document, or one JSON object a line while work goes on
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a practice medium, service it, check the result
    Demo(Demo),
    /// Build what a recipe describes: serviced medium and report
    Build(Build),
    /// Show what a recipe would do, step by step, and what is cached
    Plan(Plan),
    /// Pin every input of a recipe by SHA-256, in recipe.lock
    Lock(Lock),
    /// Show what is in the images of a medium, and whether they were captured
    Inspect(Inspect),
    /// Show what differs between two media, images, or folders of images
    Diff(Diff),
    /// Tell whether an image may upgrade an installed Windows, rule by rule
    Eligibility(Eligibility),
    /// List the packages of an image, or show one: what dism /Get-Packages and /Get-PackageInfo print
    Packages(Packages),
    /// List the features of an image, or show one: what dism /Get-Features and /Get-FeatureInfo print
    Features(Features),
    /// List the capabilities of an image, or show one: what dism /Get-Capabilities and /Get-CapabilityInfo print
    Capabilities(Capabilities),
    /// Check the component store of an image, or repair it: what dism /CheckHealth, /ScanHealth and /RestoreHealth do
    Health(Health),
    /// Compare an image with what native servicing would have made of its packages
    VerifyNative(VerifyNative),
    /// Take a medium into the library
    Import(Import),
    /// List the images of the library, newest of each family first
    List,
    /// Show everything known of a medium of the library
    Show(Show),
    /// List files of a medium or an image
    Ls(Ls),
    /// Print the contents of a file of a medium or an image
    Cat(Cat),
    /// Read the registry of an image
    #[command(subcommand)]
    Registry(Registry),
    /// Look after the results of earlier builds
    #[command(subcommand)]
    Cache(Cache),
    /// Print the JSON Schema of recipes or reports
    Schema(Schema),
}

/// Make a practice medium, service it, check the result
#[derive(Debug, Args)]
pub struct Demo {
    /// Where everything is written
    #[arg(long, value_name = "DIR", default_value = "wimwright-demo")]
    pub out: PathBuf,
    /// How large the practice medium is to be, such as 5GB; small when left out
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
}

#[derive(Debug, Args)]
pub struct RecipeArguments {
    /// The recipe, a YAML file
    pub recipe: PathBuf,
    /// The medium to service, instead of the recipe's: ISO, folder, WIM, ESD, SWM, or a medium of the library
    #[arg(long, value_name = "PATH")]
    pub media: Option<PathBuf>,
    /// Set a variable of the recipe
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
}

/// Build what a recipe describes: serviced medium and report
#[derive(Debug, Args)]
pub struct Build {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// Where the output goes, instead of where the recipe says; without one in the recipe, the ending decides (.iso .wim .esd .swm, or a folder)
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Where the reports go: PATH.html and PATH.json [default: the output's path with .report.html and .report.json]
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
    /// How many threads work [default: all processors]
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
}

/// Show what a recipe would do, step by step, and what is cached
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// For every Windows package and update that was looked at: what was decided, and why
    #[arg(long)]
    pub why: bool,
}

/// Pin every input of a recipe by SHA-256, in recipe.lock
#[derive(Debug, Args)]
pub struct Lock {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// Compare with the lock that is there instead of writing it
    #[arg(long)]
    pub check: bool,
}

/// Show what is in the images of a medium, and whether they were captured
#[derive(Debug, Args)]
pub struct Inspect {
    /// ISO, folder, WIM, ESD, SWM, or an image file on a medium (win.iso:boot.wim)
    pub medium: String,
}

/// Show what differs between two media, images, or folders of images
#[derive(Debug, Args)]
pub struct Diff {
    /// The first: a medium (win.iso), an image (win.iso:1), or a path in an image (win.iso:1/Windows)
    pub before: String,
    /// The second
    pub after: String,
}

/// Tell whether an image may upgrade an installed Windows, rule by rule
#[derive(Debug, Args)]
pub struct Eligibility {
    /// The image: win.iso:6, or a medium with one image
    pub image: String,
    /// What is known of the installed Windows, a YAML or JSON file
    #[arg(long, value_name = "FACTS")]
    pub installed: PathBuf,
}

/// List the packages of an image, or show one: what dism /Get-Packages and /Get-PackageInfo print
#[derive(Debug, Args)]
pub struct Packages {
    /// The image: win.iso:1, or a medium, of which all images are shown
    pub image: String,
    /// The package: Name~token~architecture~language~version; without it, all are listed
    pub identity: Option<String>,
    /// With packages that belong to others, which DISM does not list
    #[arg(long)]
    pub all: bool,
}

/// List the features of an image, or show one: what dism /Get-Features and /Get-FeatureInfo print
#[derive(Debug, Args)]
pub struct Features {
    /// The image: win.iso:1, or a medium, of which all images are shown
    pub image: String,
    /// The feature; without it, all are listed
    pub name: Option<String>,
}

/// List the capabilities of an image, or show one: what dism /Get-Capabilities and /Get-CapabilityInfo print
#[derive(Debug, Args)]
pub struct Capabilities {
    /// The image: win.iso:1, or a medium, of which all images are shown
    pub image: String,
    /// The capability: Name~~~language~version; without it, all are listed
    pub name: Option<String>,
}

/// Check the component store of an image, or repair it: what dism /CheckHealth, /ScanHealth and /RestoreHealth do
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wimwright health win.iso:1\n  wimwright health install.wim:1 --repair --source intact.iso ./kb --out repaired.wim"
)]
pub struct Health {
    /// The image: win.iso:1, or a medium, of which all images are checked
    pub image: String,
    /// Only ask what Windows has noted itself (CheckHealth), instead of reading and comparing everything (ScanHealth)
    #[arg(long)]
    pub quick: bool,
    /// Put intact files back, and write the repaired image file to --out (RestoreHealth)
    #[arg(long, requires = "out", conflicts_with = "quick")]
    pub repair: bool,
    /// Where intact files may be: images of the same build (install.wim:1, win.iso), packages (.msu, .cab, .esd, .psf), folders of packages
    #[arg(long, value_name = "PATH", num_args = 1.., requires = "repair")]
    pub source: Vec<String>,
    /// The image file to write, with all images of the one that is repaired; nothing is replaced
    #[arg(long, value_name = "FILE", requires = "repair")]
    pub out: Option<PathBuf>,
    /// Accept catalogs that are not signed by Microsoft
    #[arg(long)]
    pub allow_unsigned: bool,
    /// The dictionary of manifests, for an image whose servicing stack (wcp.dll) is damaged
    #[arg(long, value_name = "FILE")]
    pub dictionary: Option<PathBuf>,
}

/// Compare an image with what native servicing would have made of its packages
#[derive(Debug, Args)]
pub struct VerifyNative {
    /// The image: win.iso:1, or a medium, of which all images are compared
    pub image: String,
    /// The dictionary of manifests, for an image whose servicing stack (wcp.dll) is damaged
    #[arg(long, value_name = "FILE")]
    pub dictionary: Option<PathBuf>,
}

/// Take a medium into the library
#[derive(Debug, Args)]
pub struct Import {
    /// ISO, folder, WIM, ESD or SWM
    pub medium: PathBuf,
    /// Its name in the library [default: the file's name without ending]
    #[arg(long)]
    pub name: Option<String>,
    /// Leave the medium where it is, and only note its place
    #[arg(long)]
    pub in_place: bool,
}

/// Show everything known of a medium of the library
#[derive(Debug, Args)]
pub struct Show {
    /// Its name
    pub name: String,
}

/// List files of a medium or an image
#[derive(Debug, Args)]
pub struct Ls {
    /// Where: win.iso, win.iso:1/Windows, install.wim:1, win.iso:boot.wim:2/sources
    pub address: String,
    /// With attributes, times, sizes and security
    #[arg(long, short)]
    pub long: bool,
    /// Everything below, too
    #[arg(long, short)]
    pub recursive: bool,
}

/// Print the contents of a file of a medium or an image
#[derive(Debug, Args)]
pub struct Cat {
    /// Which: win.iso:1/Windows/System32/config/SOFTWARE, win.iso:/setup.exe
    pub address: String,
}

/// Read the registry of an image
#[derive(Debug, Subcommand)]
pub enum Registry {
    /// Show a key or one of its values
    Get(RegistryGet),
    /// Print a key and all below it as a .reg file
    Export(RegistryExport),
}

/// Show a key or one of its values
#[derive(Debug, Args)]
pub struct RegistryGet {
    /// The image: win.iso:1
    pub image: String,
    /// The key: HKLM\SOFTWARE\Microsoft
    pub key: String,
    /// The value; without it, all values and subkeys are listed
    pub value: Option<String>,
}

/// Print a key and all below it as a .reg file
#[derive(Debug, Args)]
pub struct RegistryExport {
    /// The image: win.iso:1
    pub image: String,
    /// The key: HKLM\SOFTWARE\Contoso
    pub key: String,
}

/// Look after the results of earlier builds
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Show how much there is
    Size,
    /// Remove leftovers of interrupted builds, and the oldest results above a size
    Prune(CachePrune),
    /// Remove all results
    Clear,
}

/// Remove leftovers of interrupted builds, and the oldest results above a size
#[derive(Debug, Args)]
pub struct CachePrune {
    /// How much may stay, such as 20GB
    #[arg(long, value_name = "SIZE", default_value = "20GB")]
    pub max_size: String,
}

/// Print the JSON Schema of recipes or reports
#[derive(Debug, Args)]
pub struct Schema {
    /// Which one
    #[arg(value_enum)]
    pub of: SchemaOf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SchemaOf {
    /// Recipes, for editor completion
    Recipe,
    /// Reports
    Report,
}
