// Package pubsub lets many clients share one connection for LISTEN.
//
// # Flow
//
//	Subscribe ─► Hub ─► LISTEN on its connection
//	server's NotificationResponse ─► Hub ─► each subscriber's Mailbox ─► its client
//
// A [Hub] connects when somebody subscribes and lets go when nobody does any more. When its
// connection is lost it connects again and listens to the same channels; what was sent
// meanwhile is lost, which every subscriber is told. A [Mailbox] is bounded: what does not fit
// is lost, and told. So a notification comes at most once, and shortly after the transaction that
// sent it: its sender may know of its end a moment before. Who must not be told late asks with
// [Hub.Barrier], and who gives up a channel with [Hub.Flush], for what is under way first.
package pubsub
