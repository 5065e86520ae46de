// Package sortkey turns values of PostgreSQL's types into byte strings whose byte order is
// the order in which the server sorts the values, and which are equal if and only if the
// server says so.
//
// A whole ORDER BY becomes one string per row: comparing rows, finding equal ones and
// grouping them is comparing, hashing and looking up bytes, which cannot be inconsistent
// (antisymmetric and transitive by construction) and costs no allocation.
//
// Every value's string is self-delimiting: none is a proper prefix of another of its type.
// So strings can be joined, and inverted for DESC.
//
//	bool, integers, oid, floats    fixed width, sign bit flipped; NaN above all, -0 = 0
//	numeric                        class, exponent, decimal digits, end
//	strings                        bytes, end; 0 bytes escaped. Only for bytewise collations
//	date, times, intervals         as integers; timetz by instant, then zone (timetz_cmp)
//	inet, cidr                     family, network bits, end, address (network_cmp)
//	arrays                         elements, NULL above all, end, dimensions (array_cmp)
//	ranges                         empty, lower bound, upper bound (range_cmp)
//
// What is not here (jsonb, xml, enums, composite types, multiranges, domains under an OID
// of their own, types of extensions) has no encoder: only a server can compare it.
package sortkey
