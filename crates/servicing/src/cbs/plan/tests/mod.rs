mod elevation;
mod errors;
mod features;
mod fixture;
mod packages;
mod real;
mod removal;
