package tkv

// DropSession removes the records of a session and the locks that it still holds.
func (t *tx) DropSession(sid uint64) {
	for _, kind := range []byte{'E', 'I', 'H'} {
		t.drop(sessionKey(kind, sid))
	}
	t.dropLocks("F", sid, flockSize)
	t.dropLocks("P", sid, plockSize)
}

// dropLocks takes the records of a session out of all lock values of one kind. size gives the length of the
// first record, 0 if there is no whole one.
func (t *tx) dropLocks(letter string, sid uint64, size func([]byte) int) {
	t.notes = append(t.notes, note{do: func() error {
		begin, end := letters(letter)
		shed := func(key string, records []byte) error {
			kept, err := withoutSession(records, sid, size)
			if err != nil {
				return corrupt([]byte(key), err)
			}
			switch len(kept) {
			case len(records):
			case 0:
				t.pending[key] = nil
			default:
				t.pending[key] = kept
			}
			return nil
		}
		for key, records := range t.pending { // what this transaction has changed before
			if len(key) == inodeKeySize && key[:1] == letter {
				if err := shed(key, records); err != nil {
					return err
				}
			}
		}
		return t.each(t.promised, begin, end, func(p Pair) (bool, error) {
			if _, again := t.pending[string(p.Key)]; again || len(p.Key) != inodeKeySize {
				return true, nil
			}
			return true, shed(string(p.Key), p.Value)
		})
	}})
}

func withoutSession(records []byte, sid uint64, size func([]byte) int) (kept []byte, err error) {
	err = eachLock(records, size, func(record []byte) error {
		if ownerOf(record).Sid != sid {
			kept = append(kept, record...)
		}
		return nil
	})
	return kept, err
}
