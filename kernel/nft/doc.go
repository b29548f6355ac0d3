// Package nft reads and writes nftables table inet pbr, and no other, over netlink.
//
// A live table is read into the same plan.Ruleset that the compiler makes, so that what differs
// is plan.Diff of the two, and Apply sends only that, as one transaction.
//
// Rules and elements are written in exactly the form in which the kernel lists them. Reading relies
// on it: a rule is decoded, encoded again, and compared byte for byte with what the kernel gave; a
// rule that does not come back the same is none that this package could have made, and is reported
// as foreign. The table's few other messages follow the same rule of one form for writing and
// reading.
package nft
