package object

import "io"

// Op names a method of Store, for wrappers that count, measure or disturb.
type Op uint8

// The methods of Store.
const (
	OpCreate Op = iota
	OpGet
	OpPut
	OpHead
	OpDelete
	OpList

	// Ops is how many there are.
	Ops = int(OpList) + 1
)

// String gives the method's name in lower case.
func (o Op) String() string {
	switch o {
	case OpCreate:
		return "create"
	case OpGet:
		return "get"
	case OpPut:
		return "put"
	case OpHead:
		return "head"
	case OpDelete:
		return "delete"
	case OpList:
		return "list"
	}
	return "unknown"
}

// Remaining returns how many bytes lie between the current position of body and its end; the position
// stays.
func Remaining(body io.Seeker) (int64, error) {
	at, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	end, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if _, err := body.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	return end - at, nil
}
