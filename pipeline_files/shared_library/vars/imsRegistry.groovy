// Fails at the start of a build that could not push its images.
import ims.Images

void call(Map config = [:]) {
    Map settings = [registry: env.IMS_REGISTRY] + config
    String objection = Images.registryObjection(settings.registry)
    if (objection) {
        error objection
    }
}
