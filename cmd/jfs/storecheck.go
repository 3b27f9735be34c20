package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"jfs/object"
)

// envNoCheck, when not empty, leaves out the check of the store.
const envNoCheck = "JFS_NO_CHECK_OBJECT_STORAGE"

const (
	testDir      = "testing/"
	testSize     = 100 // bytes
	setupTries   = 3   // of a request while a volume is set up, when somebody waits for the answer
	uuidObject   = "juicefs_uuid"
	listPageSize = 1000
)

// checkStore proves that objects can be stored, read and removed. It makes a bucket that is missing.
func checkStore(ctx context.Context, store object.Store) error {
	data := make([]byte, testSize)
	if _, err := rand.Read(data); err != nil {
		return err
	}
	key := testDir + rand.Text()[:10]
	err := put(ctx, store, key, data)
	if isMissing(err) {
		if err := store.Create(ctx); err != nil {
			return fmt.Errorf("the store %s does not exist and cannot be made: %w", store, err)
		}
		err = put(ctx, store, key, data)
	}
	if err != nil {
		return fmt.Errorf("the store %s cannot be written to: %w", store, err)
	}
	got, err := get(ctx, store, key)
	switch {
	case err != nil:
		return fmt.Errorf("the store %s cannot be read: %w", store, err)
	case !bytes.Equal(got, data):
		return fmt.Errorf("the store %s gives back other data than was stored", store)
	}
	if err := store.Delete(ctx, key); err != nil {
		return fmt.Errorf("objects of the store %s cannot be removed: %w", store, err)
	}
	// Only a store of directories has an object of this name, and it may hold what another client is testing.
	_ = store.Delete(ctx, testDir)
	return nil
}

// checkEmpty refuses a place in the store that holds objects of something else.
func checkEmpty(ctx context.Context, store object.Store) error {
	after := ""
	for {
		page, more, err := store.List(ctx, "", after, listPageSize)
		if err != nil {
			return fmt.Errorf("list the store %s: %w", store, err)
		}
		for _, o := range page {
			if o.Size > 0 && !strings.HasPrefix(o.Key+"/", testDir) {
				return fmt.Errorf("the store %s is not empty: it holds %s; choose another name or bucket, or remove what is there", store, o.Key)
			}
			after = o.Key
		}
		if !more || len(page) == 0 {
			return nil
		}
	}
}

func put(ctx context.Context, store object.Store, key string, data []byte) error {
	return store.Put(ctx, key, bytes.NewReader(data))
}

func get(ctx context.Context, store object.Store, key string) (data []byte, err error) {
	body, err := store.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return io.ReadAll(body)
}
