//! Tests of the whole: end-to-end tests, and the rules of the source tree. They are in `it/`; this library is empty,
//! because cargo wants a package to have one.
