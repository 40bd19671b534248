# `docker buildx bake`: the images of all services at once; IMS_TAG and REVISION are put on them, REGISTRY is where they will be pushed to.
variable "IMS_TAG" { default = "dev" }
variable "REVISION" { default = "unknown" }
variable "REGISTRY" { default = "registry.invalid" } # none has our images
variable "NODE_IMAGE" { default = "node:24.21.0-bookworm-slim" }

group "default" {
  targets = ["services"]
}

target "services" {
  name       = service
  matrix     = { service = ["consumer_one", "consumer_two", "consumer_three", "consumer_four", "producer"] }
  context    = "."
  dockerfile = "${service}/Dockerfile"
  tags       = ["${REGISTRY}/ims/${service}:${IMS_TAG}"]
  args       = { REVISION = REVISION, VERSION = IMS_TAG, NODE_IMAGE = NODE_IMAGE }
}
