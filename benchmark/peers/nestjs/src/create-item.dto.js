// The body of create_item for class-validator, which NestJS uses for validation. It has the limits of our schema.
import { IsInt, IsNumber, IsString, Length, Max, Min } from 'class-validator'

export class CreateItemDto {}

const rules = {
  sku: [IsString(), Length(1, 20)],
  name: [IsString(), Length(1, 100)],
  label: [IsString(), Length(1, 50)],
  price: [IsNumber(), Min(0), Max(99_999_999_999.9999)],
  quantity: [IsInt(), Min(0), Max(2_147_483_647)],
}
for (const [member, decorators] of Object.entries(rules))
  for (const decorator of decorators) decorator(CreateItemDto.prototype, member)
