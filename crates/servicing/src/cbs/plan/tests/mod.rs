mod elevation;
mod errors;
mod features;
mod fixture;
mod orders;
mod packages;
mod real;
mod removal;
