mod corpus;
mod real;
