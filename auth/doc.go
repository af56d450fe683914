// Package auth decides who a client is: SASL PLAIN and LOGIN (RFC 4954, RFC 4616) against bcrypt hashes.
//
// It promises that a store in trouble is never reported as a wrong password, that an unknown user costs
// as much time as a wrong password, and that failures slow an attacker down without locking anyone out. An account has any number of
// devices, each with a secret that can expire, be bound to networks, and be revoked while it is in use.
// It keeps no accounts of its own: a [Store] does, for example auth/userfile.
package auth
