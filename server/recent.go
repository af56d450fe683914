package server

import (
	"container/list"
	"iter"
)

// recent is a map of at most maxMemory entries that forgets the ones that were put the longest ago. Its zero value is empty.
type recent[K comparable, V any] struct {
	entries map[K]*list.Element
	order   *list.List // of entry[K, V], the oldest in front
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// put sets a value and makes it the newest.
func (r *recent[K, V]) put(key K, value V) {
	if r.entries == nil {
		r.entries, r.order = make(map[K]*list.Element), list.New()
	}
	if e, ok := r.entries[key]; ok {
		e.Value = entry[K, V]{key, value}
		r.order.MoveToBack(e)
		return
	}
	if r.order.Len() >= maxMemory {
		oldest := r.order.Front()
		delete(r.entries, oldest.Value.(entry[K, V]).key)
		r.order.Remove(oldest)
	}
	r.entries[key] = r.order.PushBack(entry[K, V]{key, value})
}

func (r *recent[K, V]) find(key K) (value V, ok bool) {
	e, ok := r.entries[key]
	if !ok {
		return value, false
	}
	return e.Value.(entry[K, V]).value, true
}

func (r *recent[K, V]) remove(key K) {
	if e, ok := r.entries[key]; ok {
		delete(r.entries, key)
		r.order.Remove(e)
	}
}

// all yields the entries, oldest first.
func (r *recent[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if r.order == nil {
			return
		}
		for e := r.order.Front(); e != nil; e = e.Next() {
			if kv := e.Value.(entry[K, V]); !yield(kv.key, kv.value) {
				return
			}
		}
	}
}
