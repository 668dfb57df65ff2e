//! The program as its users meet it: started as a process, judged by what it prints and writes.

mod commands;
mod done_when;
mod interrupt;
mod repair;
mod results;
mod servicing;
mod workshop;
