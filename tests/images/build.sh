#!/bin/sh
# Runs on a machine with Docker: makes the sample images out of the shared layer and saves them into one archive.
# Usage: build.sh CONTEXT ARCHIVE   (CONTEXT has layer.tar and one folder per image)
set -eu
context=$1
archive=$2
docker import "$context/layer.tar" convoy-samples > /dev/null
for image in someapp apache nginx; do
    docker build --quiet --network none --tag "$image" "$context/$image" > /dev/null
done
docker save --output "$archive.partial" someapp apache nginx
mv "$archive.partial" "$archive"
